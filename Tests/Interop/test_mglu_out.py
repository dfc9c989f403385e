"""Models trained here give the same logits in transformers, and train there."""

import json
import pathlib
import tempfile
import unittest

import torch
from transformers import AutoModelForCausalLM

from support import ROOT, TOLERANCE, difference, mglu

UNITS = {
    "swiglu": ["--ffn", "swiglu"],
    "swimglu_1": ["--ffn", "swimglu", "--masks", 1],
    "swimglu_4": ["--ffn", "swimglu", "--masks", 4],
    "routed": ["--ffn", "swimglu", "--masks", 4, "--router-top-k", 2],
    "no_gate_mask": ["--ffn", "swimglu", "--masks", 2, "--ablation", "no-gate-mask"],
    "no_value_mask": ["--ffn", "swimglu", "--masks", 2, "--ablation", "no-value-mask"],
    "fixed": ["--ffn", "swimglu", "--masks", 3, "--fixed-masks"],
    "gemglu": ["--ffn", "gemglu", "--masks", 2],
    "bilinear": ["--ffn", "bilinear-mglu", "--masks", 2],
    "geglu": ["--ffn", "geglu"],
    "gelu": ["--ffn", "gelu"],
    "shared": ["--ffn", "shared-swiglu"],
}
EXPORTED = ["swiglu", "swimglu_1", "swimglu_4", "fixed", "gemglu", "geglu", "shared"]


def load(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, dtype=torch.float32)


class MGLUOut(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        text = cls.folder / "text.txt"
        text.write_text((ROOT / "ARCHITECTURE.md").read_text())
        for name, options in UNITS.items():
            # Width 44: rows of packed bits that end within a byte.
            mglu("train", "--data", text, "--output", cls.folder / name, "--steps", 20,
                 "--warmup-steps", 2, "--learning-rate", 0.01, "--eval-every", 0,
                 "--eval-tokens", 256, "--save-every", 0, "--batch-size", 4, "--context", 64,
                 "--layers", 2, "--hidden-size", 44, "--intermediate-size", 72, "--heads", 2,
                 "--threads", 2, *options)

    def check(self, name, folder, model):
        found, largest = difference(folder, model)
        print(f"{name}: {found:.1e} of {largest:.1f}")
        self.assertLess(found, TOLERANCE)

    def test_folders(self):
        for name in UNITS:
            with self.subTest(name):
                self.check(name, self.folder / name, load(self.folder / name))

    def test_exported_llamas(self):
        for name in EXPORTED:
            with self.subTest(name):
                output = self.folder / f"{name}-llama"
                mglu("convert", "--model", self.folder / name, "--to", "llama", "--output", output)
                model = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
                self.assertEqual(type(model).__name__, "LlamaForCausalLM")
                self.check(f"{name} as llama", self.folder / name, model)

    def test_narrow_folders(self):
        for to, option in (("mglu", "--dtype"), ("mglu-inference", "--weights")):
            for dtype in ("fp16", "bf16"):
                with self.subTest(f"{to} {dtype}"):
                    output = self.folder / f"{to}-{dtype}"
                    mglu("convert", "--model", self.folder / "routed", "--to", to, option, dtype,
                         "--output", output)
                    self.check(f"{to} {dtype}", output, load(output))

    def test_training(self):
        """Trained there, saved there, read here; masks change with their logits."""
        for name in ("swimglu_4", "routed"):
            with self.subTest(name):
                model = load(self.folder / name).train()
                before = [layer.mlp.mask_logits > 0 for layer in model.model.layers]
                ids = torch.tensor([list(b"a mask is one bit of each weight. " * 3)])
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
                losses = []
                for _ in range(100):
                    loss = model(ids, labels=ids).loss
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                self.assertLess(losses[-1], 0.5 * losses[0])
                for layer, old in zip(model.model.layers, before):
                    self.assertTrue(((layer.mlp.mask_logits > 0) != old).any())
                output = self.folder / f"{name}-trained"
                model.save_pretrained(output)
                self.assertIn("auto_map", json.loads((output / "config.json").read_text()))
                self.check(f"{name} trained there", output, model)
                self.check(f"{name} trained there", output, load(output))

    def test_straight_through_gradient(self):
        """dL = W * (the gradient of the loss by the mask), of a sum written with 2 n_m products."""
        model = load(self.folder / "swimglu_4").double()
        unit = model.model.layers[0].mlp
        w = unit.up_proj.weight.detach()
        x = torch.randn(5, w.shape[1], dtype=torch.float64)
        masks = (unit.mask_logits > 0).double().requires_grad_()
        unit.mask_logits.grad = None
        expected = sum(
            torch.nn.functional.silu(x @ (m * w).T) * (x @ ((1 - m) * w).T) for m in masks)
        up = torch.randn_like(expected)
        (expected * up).sum().backward()
        found = unit.intermediate(x)
        (found * up).sum().backward()
        self.assertLess((found - expected).abs().max().item(), 1e-10)
        self.assertLess((unit.mask_logits.grad - masks.grad).abs().max().item(), 1e-10)

    def test_new_models_have_masks(self):
        model = load(self.folder / "swimglu_4")
        fresh = AutoModelForCausalLM.from_config(model.config, trust_remote_code=True)
        share = (fresh.model.layers[0].mlp.mask_logits > 0).double().mean().item()
        self.assertTrue(0.4 < share < 0.6, share)
