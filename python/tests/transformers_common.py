"""transformers' common tests of model classes, on MGLU's and, to compare with, on Llama's.

    scripts/transformers-tests [NUMBER OF A UNIT]

TESTS is transformers' source distribution, unpacked. What it lacks is not run: the tests of generation, and
those of several processes, which are in test_distributed. Fails where a test fails that Llama's classes pass.
"""

import io
import logging
import os
import sys
import types
import unittest

import torch

sys.path.insert(0, os.environ["TESTS"])
logging.disable(logging.INFO)


def run_distributed(**_):
    raise unittest.SkipTest("the distribution lacks the helpers of several processes")


# What the distribution lacks of its own tests' imports.
for name, value in (("exporters.test_export", type("ExportTesterMixin", (), {})),
                    ("generation.test_utils", type("GenerationTesterMixin", (), {})),
                    ("distributed_testing_utils", run_distributed)):
    for part in (name.split(".")[0], name):
        module = types.ModuleType("tests." + part)
        module.__path__ = []
        setattr(module, value.__name__, value)
        sys.modules["tests." + part] = module

from tests import test_modeling_common as common  # noqa: E402
from tests.test_tensor_parallel_mixin import TensorParallelTesterMixin  # noqa: E402
from tests.test_training_mixin import TrainingTesterMixin  # noqa: E402
from test_transformers import load_classes  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel  # noqa: E402

# By these names the tests know which class makes a loss of labels.
common.MODEL_MAPPING_NAMES["mglu"] = "MGLUModel"
common.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["mglu"] = "MGLUForCausalLM"

SIZES = dict(
    vocab_size=99, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, hidden_act="silu", hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1, max_position_embeddings=512, type_vocab_size=16,
    initializer_range=0.02, pad_token_id=0, bos_token_id=1, eos_token_id=2)
UNITS = (dict(num_masks=1), dict(num_masks=4), dict(num_masks=4, mask_storage="packed"),
         dict(num_masks=4, router_top_k=2),
         dict(num_masks=4, router_top_k=2, mask_storage="packed"))


class Tester:
    """What the common tests ask for."""

    def __init__(self, parent, make_config):
        self.parent, self.make_config = parent, make_config
        self.batch_size, self.seq_length, self.is_training = 13, 7, True
        for key, value in SIZES.items():
            setattr(self, key, value)

    def get_config(self):
        return self.make_config()

    def prepare_config_and_inputs_for_common(self):
        ids = common.ids_tensor([self.batch_size, self.seq_length], self.vocab_size)
        mask = torch.tril(torch.ones_like(ids))
        return self.get_config(), {"input_ids": ids.to(common.torch_device),
                                   "attention_mask": mask.to(common.torch_device)}


def suite(name, base, causal, make_config):
    class Common(common.ModelTesterMixin, common.GenerationTesterMixin, TrainingTesterMixin,
                 TensorParallelTesterMixin, unittest.TestCase):
        all_model_classes = (base, causal)
        pipeline_model_mapping = {}
        model_split_percents = [0.5, 0.7, 0.8]

        def setUp(self):
            self.model_tester = Tester(self, make_config)
            self.model_tester.causal_lm_class = causal

    Common.__name__ = Common.__qualname__ = name
    return Common


def run(case):
    result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(case))
    bad = {}
    for test, trace in result.failures + result.errors:
        bad[test.id().split(".")[-1].split(" ")[0]] = trace
    return result.testsRun, len(result.skipped), bad


def main():
    configuration, modeling = load_classes()
    counts, skipped, llama = run(suite("Llama", LlamaModel, LlamaForCausalLM,
                                       lambda: LlamaConfig(**SIZES)))
    print(f"Llama: {counts} tests, {skipped} skipped, {len(llama)} fail: "
          f"{', '.join(sorted(llama)) or 'none'}",
          flush=True)
    failed = False
    for unit in UNITS[int(sys.argv[1]):][:1] if len(sys.argv) > 1 else UNITS:
        counts, skipped, bad = run(suite(
            "MGLU", modeling.MGLUModel, modeling.MGLUForCausalLM,
            lambda: configuration.MGLUConfig(**SIZES, **unit)))
        ours = sorted(set(bad) - set(llama))
        print(f"{unit}: {counts} tests, {skipped} skipped, {len(bad)} fail, of which Llama passes: "
              f"{', '.join(ours) or 'none'}", flush=True)
        for name in ours:
            print(bad[name][-int(os.environ.get("TRACE", 600)):])
        failed |= bool(ours)
    sys.exit(failed)


main()
