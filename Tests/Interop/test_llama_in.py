"""Random Llamas that transformers wrote give the same logits here."""

import json
import pathlib
import tempfile
import unittest

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from support import TOLERANCE, difference, mglu, run, write_json

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}


def llama(**changes):
    torch.manual_seed(len(repr(changes)))
    sizes = dict(vocab_size=320, hidden_size=48, intermediate_size=88, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256,
                 bos_token_id=0, eos_token_id=1, initializer_range=0.2)
    model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changes}))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.2)
    return model


class LlamaIn(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def check(self, model, folder=None):
        found, largest = difference(folder or self.folder, model)
        print(f"{self.id().split('.')[-1]}: {found:.1e} of {largest:.1f}")
        self.assertLess(found, TOLERANCE)

    def test_models(self):
        cases = {
            "tied": dict(tie_word_embeddings=True),
            "untied": dict(tie_word_embeddings=False),
            "gqa": dict(num_key_value_heads=2),
            "mqa_head_dim": dict(num_key_value_heads=1, head_dim=10),
            "theta": dict(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
            "linear": dict(rope_parameters={
                "rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}),
            "llama3": dict(rope_parameters=LLAMA3, num_key_value_heads=2),
            "gelu": dict(hidden_act="gelu"),
            "epsilon": dict(rms_norm_eps=1e-3),
        }
        for name, changes in cases.items():
            with self.subTest(name):
                model = llama(**changes)
                folder = self.folder / name
                model.save_pretrained(folder)
                found, largest = difference(folder, model)
                print(f"{name}: {found:.1e} of {largest:.1f}")
                self.assertLess(found, TOLERANCE)

    def test_older_rope_keys(self):
        model = llama(rope_parameters=LLAMA3)
        model.save_pretrained(self.folder)

        def older(config):
            scaling = config.pop("rope_parameters")
            config["rope_theta"] = scaling.pop("rope_theta")
            config["rope_scaling"] = scaling

        write_json(self.folder / "config.json", older)
        self.check(model)

    def test_sharded(self):
        model = llama(num_key_value_heads=2)
        model.save_pretrained(self.folder, max_shard_size="60KB")
        self.assertGreater(len(list(self.folder.glob("model-*.safetensors"))), 2)
        self.check(model)

    def test_narrow(self):
        for dtype in (torch.bfloat16, torch.float16):
            with self.subTest(dtype):
                model = llama(tie_word_embeddings=True).to(dtype)
                model.save_pretrained(self.folder)
                self.check(AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32))

    def test_converted(self):
        """Read, written again as each type, and read by transformers."""
        model = llama(rope_parameters=LLAMA3, num_key_value_heads=2)
        model.save_pretrained(self.folder / "in")
        for dtype in ("fp32", "fp16", "bf16"):
            with self.subTest(dtype):
                folder = self.folder / dtype
                mglu("convert", "--model", self.folder / "in", "--to", "llama", "--dtype", dtype,
                     "--output", folder)
                again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
                self.check(again, folder)
                if dtype == "fp32":
                    self.check(again, self.folder / "in")

    def test_end_of_text_of_generation_config(self):
        llama().save_pretrained(self.folder)
        for ids in (5, [5, 7]):
            write_json(self.folder / "generation_config.json",
                       lambda config: config.update(eos_token_id=ids))
            out = self.folder / f"out-{ids if isinstance(ids, int) else 'list'}"
            mglu("convert", "--model", self.folder, "--to", "llama", "--output", out)
            self.assertEqual(json.loads((out / "config.json").read_text())["eos_token_id"], ids)

    def test_refusals(self):
        llama().save_pretrained(self.folder)
        path = self.folder / "config.json"
        original = path.read_text()
        for key, value, words in [
            ("attention_bias", True, "q_proj.bias is missing"), ("mlp_bias", True, "mlp_bias"),
            ("sliding_window", 64, "sliding_window"), ("model_type", "gemma", "gemma"),
            ("rope_scaling", {"rope_type": "dynamic", "factor": 2.0}, "dynamic"),
            ("rope_scaling", {"rope_type": "yarn"}, "factor"),
            ("rope_scaling", {"rope_type": "llama3", "factor": 2.0}, "low_freq_factor"),
            ("hidden_act", "mish", "mish"),
            ("quantization_config", {"quant_method": "gptq", "bits": 4}, "gptq"),
        ]:
            with self.subTest(key):
                path.write_text(original)

                def change(config):
                    config[key] = value
                    if key == "rope_scaling":
                        del config["rope_parameters"]

                write_json(path, change)
                result = run("logits", "--model", self.folder, "--ids", "1")
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(words, result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
