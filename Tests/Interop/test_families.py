"""Random models of every family that transformers wrote give the same logits here, and come back."""

import copy
import json
import pathlib
import tempfile
import unittest

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
    Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
    SmolLM3Config, SmolLM3ForCausalLM)

from support import TOLERANCE, difference, mglu, our_logits, run, their_logits, token_ids, write_json

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
        "rope_theta": 10000.0}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 1.9],
            "long_factor": [1.1, 1.5, 2.0, 3.0, 5.0, 8.0]}
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM),
    "phi3": (Phi3Config, Phi3ForCausalLM),
}
# Texts have 48 tokens.
CASES = {
    "llama_biases": ("llama", dict(attention_bias=True)),
    "mistral_window": ("mistral", dict(sliding_window=11)),
    "mistral_no_window": ("mistral", dict(sliding_window=None)),
    "mistral_head_dim": ("mistral", dict(sliding_window=7, head_dim=10)),
    "qwen2": ("qwen2", dict()),
    "qwen2_tied": ("qwen2", dict(tie_word_embeddings=True)),
    "qwen2_windows": ("qwen2", dict(use_sliding_window=True, sliding_window=9,
                                    max_window_layers=2)),
    "qwen2_layer_types": ("qwen2", dict(
        use_sliding_window=True, sliding_window=9,
        layer_types=["sliding_attention", "full_attention"] * 2)),
    "qwen2_yarn": ("qwen2", dict(rope_parameters=YARN)),
    "qwen3": ("qwen3", dict(head_dim=10)),
    "qwen3_biases": ("qwen3", dict(head_dim=10, attention_bias=True)),
    "qwen3_windows": ("qwen3", dict(head_dim=12, use_sliding_window=True, sliding_window=5,
                                    max_window_layers=1)),
    "smollm3": ("smollm3", dict()),
    "smollm3_interval": ("smollm3", dict(no_rope_layer_interval=2, tie_word_embeddings=False)),
    "smollm3_windows": ("smollm3", dict(no_rope_layers=[0, 1, 1, 0], use_sliding_window=True,
                                        sliding_window=6)),
    "phi3": ("phi3", dict()),
    "phi3_window": ("phi3", dict(sliding_window=13)),
    "phi3_partial": ("phi3", dict(rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})),
    "phi3_longrope": ("phi3", dict(
        original_max_position_embeddings=40, rope_parameters=LONGROPE)),
    "phi3_longrope_short": ("phi3", dict(
        original_max_position_embeddings=64, rope_parameters=LONGROPE)),
    "llama_longrope": ("llama", dict(
        rope_parameters={**LONGROPE, "original_max_position_embeddings": 32, "factor": 3.0})),
    "llama_yarn": ("llama", dict(rope_parameters={**YARN, "beta_fast": 16, "mscale": 0.7,
                                                  "mscale_all_dim": 1.3, "truncate": False})),
}


def model_of(family, changes):
    torch.manual_seed(len(repr(changes)))
    config, model = FAMILIES[family]
    sizes = dict(vocab_size=320, hidden_size=48, intermediate_size=88, num_hidden_layers=4,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
                 bos_token_id=0, eos_token_id=1, pad_token_id=None, initializer_range=0.2)
    # transformers writes into the dictionaries that it is given.
    model = model(config(**{**sizes, **copy.deepcopy(changes)}))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.2)
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, 0, 0.5)
    return model


class Families(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.models = {}
        for name, (family, changes) in CASES.items():
            cls.models[name] = model_of(family, changes)
            cls.models[name].save_pretrained(cls.folder / name)

    def check(self, name, folder, model):
        found, largest = difference(folder, model)
        print(f"{name}: {found:.1e} of {largest:.1f}")
        self.assertLess(found, TOLERANCE)

    def test_in(self):
        for name, model in self.models.items():
            with self.subTest(name):
                self.check(name, self.folder / name, model)

    def test_out(self):
        """Written again as what they were: the same type, the same tensors, the same logits."""
        for name, model in self.models.items():
            with self.subTest(name):
                folder = self.folder / f"{name}-out"
                mglu("convert", "--model", self.folder / name, "--to", "llama", "--output", folder)
                config = json.loads((folder / "config.json").read_text())
                self.assertEqual(config["model_type"], CASES[name][0])
                self.assertEqual(config["architectures"], [type(model).__name__])
                written = load_file(folder / "model.safetensors")
                original = load_file(self.folder / name / "model.safetensors")
                self.assertEqual(written.keys(), original.keys())
                for key, tensor in original.items():
                    self.assertTrue(torch.equal(tensor, written[key]), key)
                again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
                ids = token_ids(320, 48)
                self.assertLess(
                    (their_logits(again.eval(), ids) - their_logits(model.eval(), ids)).abs().max().item(),
                    TOLERANCE)

    def test_narrow(self):
        """As BF16, and as integers, merged matrices included."""
        for name in ("qwen2", "phi3"):
            for weights in ("bf16", "int8"):
                with self.subTest(f"{name} {weights}"):
                    folder = self.folder / f"{name}-{weights}"
                    mglu("convert", "--model", self.folder / name, "--to", "mglu-inference",
                         "--weights", weights, "--output", folder)
                    ids = token_ids(320, 48)
                    ours, exact = our_logits(folder, ids), our_logits(self.folder / name, ids)
                    share = (ours - exact).norm() / exact.norm()
                    self.assertLess(share, 0.05)
                    if weights == "bf16":
                        again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
                        self.check(f"{name} {weights}", folder, again)

    def test_masked(self):
        """An MGLU keeps the attention of the model that it was made of, and gives it back."""
        for name in CASES:
            with self.subTest(name):
                folder = self.folder / f"{name}-mglu"
                mglu("convert", "--model", self.folder / name, "--to", "mglu", "--masks", 2,
                     "--output", folder)
                again = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=torch.float32, trust_remote_code=True)
                self.check(f"{name} masked", folder, again)
                saved = self.folder / f"{name}-saved"
                again.save_pretrained(saved)
                self.check(f"{name} masked and saved", saved, again)
                stock = self.folder / f"{name}-stock"
                mglu("convert", "--model", folder, "--to", "llama", "--output", stock)
                self.check(f"{name} stock", folder, AutoModelForCausalLM.from_pretrained(
                    stock, dtype=torch.float32))
                self.assertEqual(
                    json.loads((stock / "config.json").read_text())["model_type"], CASES[name][0])

    def test_masked_generation(self):
        """Their cache and ours, token by token."""
        for name in ("mistral_window", "smollm3", "phi3_partial"):
            with self.subTest(name):
                folder = self.folder / f"{name}-generating"
                mglu("convert", "--model", self.folder / name, "--to", "mglu", "--masks", 1,
                     "--output", folder)
                model = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=torch.float32, trust_remote_code=True).eval()
                ids = torch.tensor([token_ids(320, 17)])
                generated = model.generate(ids, max_new_tokens=20, do_sample=False,
                                           eos_token_id=None, pad_token_id=0)
                logits = their_logits(model, generated[0].tolist())
                self.assertEqual(logits[16:-1].argmax(-1).tolist(), generated[0][17:].tolist())

    def test_training(self):
        """A step of training there and here changes every parameter alike."""
        for name in ("qwen2", "mistral_window", "phi3_partial", "smollm3"):
            with self.subTest(name):
                text = self.folder / f"{name}.txt"
                text.write_bytes(bytes(range(32, 127)) * 40)
                out = self.folder / f"{name}-trained"
                mglu("train", "--init", self.folder / name, "--data", text, "--tokenizer", "byte",
                     "--output", out, "--steps", 3, "--warmup-steps", 1, "--batch-size", 2,
                     "--context", 32, "--learning-rate", 1e-3, "--eval-every", 0, "--save-every", 0,
                     "--eval-tokens", 64, "--threads", 2)
                self.assertEqual(
                    json.loads((out / "config.json").read_text())["model_type"], CASES[name][0])
                trained = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
                self.check(f"{name} trained", out, trained)

    def test_heads_of_tied_models(self):
        """A head of other elements stays apart, one without an embedding is both."""
        folder = self.folder / "head"
        model_of("llama", dict(tie_word_embeddings=True)).save_pretrained(folder)
        tensors = load_file(folder / "model.safetensors")
        embedding = tensors["model.embed_tokens.weight"]
        other = torch.roll(embedding, 3, 0)
        for name, change in {
            "other": {"lm_head.weight": other}, "equal": {"lm_head.weight": embedding.clone()},
            "alone": {"lm_head.weight": other, "model.embed_tokens.weight": None},
        }.items():
            with self.subTest(name):
                changed = {key: value for key, value in {**tensors, **change}.items()
                           if value is not None}
                save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
                self.check(name, folder, LlamaForCausalLM.from_pretrained(folder))

    def test_refusals(self):
        """What is not understood is named, in one line."""
        for name, key, value, words in [
            ("mistral_window", "layer_types", ["full_attention", "sliding_attention"] * 2,
             "layer_types"),
            ("qwen2_layer_types", "layer_types", ["chunked_attention"] * 4, "chunked_attention"),
            ("qwen2_layer_types", "layer_types", ["full_attention"], "layer_types"),
            ("qwen2", "final_logit_softcapping", 30.0, "final_logit_softcapping"),
            ("qwen2", "partial_rotary_factor", 0.5, "partial_rotary_factor"),
            ("smollm3", "mlp_bias", True, "mlp_bias"),
            ("smollm3", "no_rope_layers", [1], "no_rope_layers"),
            ("smollm3", "no_rope_layers", None, None),
            ("phi3", "rope_parameters", {"rope_type": "proportional"}, "proportional"),
            ("phi3", "partial_rotary_factor", 7, "partial_rotary_factor"),
            ("mistral_window", "sliding_window", 0, "window"),
            ("mistral_window", "sliding_window", -(2 ** 62), "window"),
            ("qwen2", "model_type", "gemma2", "gemma2"),
        ]:
            with self.subTest(f"{name} {key} {value}"):
                path = self.folder / name / "config.json"
                original = path.read_text()

                def change(config):
                    if key == "partial_rotary_factor":
                        config["rope_parameters"].pop(key, None)
                    config[key] = value
                    if key == "no_rope_layers" and value is None:
                        config["no_rope_layer_interval"] = 0

                write_json(path, change)
                result = run("logits", "--model", self.folder / name, "--ids", "1")
                path.write_text(original)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(words or "no_rope_layer_interval", result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
