"""The operators against `mglu.reference`: torch's own checks of them, derivatives, compilation."""

import itertools
import pathlib
import re
import types
import unittest
from unittest import mock

import torch
from torch.library import opcheck

import mglu
from mglu import functional as F, packed, reference
from mglu.units import ABLATIONS, ACTIVATIONS, unit

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources/CMGLUInterface"
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
# Largest error beside the largest element: rounding of the type, and of the sums of float32.
BOUND = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}


def units():
    yield unit("lu")
    yield unit("glu")
    yield unit("shared_glu")
    for masks, ablation in itertools.product((1, 2, 3, 4, 8, 16), ABLATIONS):
        yield unit("mglu", masks, "silu", ablation)
    for activation in ACTIVATIONS:
        yield unit("mglu", 2, activation)


def units_to_infer(device):
    """A GPU's kernels are compiled for each unit: there some stand for all."""
    if device == "cpu":
        yield from units()
    else:
        yield unit("glu")
        yield unit("mglu", 1)
        yield unit("mglu", 3, "gelu", "no_value_mask")
        yield unit("mglu", 4)


def random_unit(found, d, h, device, dtype=torch.float32):
    weight = (torch.randn(found.planes * d, h, device=device) / h**0.5).to(dtype)
    logits = torch.randn(found.masks, d, h, device=device) * 0.01 if found.masks else None
    return weight, logits


def error(found, expected):
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def product_type(device):
    return torch.bfloat16 if device == "cuda" else torch.float32


class Operators(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def packed_arguments(self, x, pack, routes=None):
        return (x, pack.weight, pack.words, pack.scales,
                pack.nothing if routes is None else routes, pack.number)

    def test_opcheck_fused_linear(self):
        for device in DEVICES:
            for dtype, found in itertools.product(TYPES, (unit("glu"), unit("mglu", 3))):
                weight, logits = random_unit(found, 24, 40, device)
                bits = None if logits is None else reference.pack_bits(logits > 0)
                pack = packed.pack(found, weight, bits, dtype=dtype)
                for x_type in (torch.float32, torch.float16, torch.bfloat16):
                    if device == "cuda" and dtype is torch.float32 and x_type is not dtype:
                        continue
                    x = torch.randn(3, 40, device=device).to(x_type)
                    with self.subTest(device=device, weights=dtype, x=x_type, unit=found.kind):
                        routes = torch.rand(3, found.masks, device=device) if found.masks else None
                        arguments = self.packed_arguments(x, pack, routes)
                        opcheck(mglu.ops.fused_linear, arguments)
                        if pack.scales.numel() == 0:
                            opcheck(mglu.ops.fused_linear_plain, arguments[:3] + arguments[5:])

    def test_opcheck_training(self):
        for device in DEVICES:
            dtype = product_type(device)
            weight, logits = random_unit(unit("mglu", 2), 24, 40, device)
            streams = torch.randn(5, 72, device=device).to(dtype)
            gradient = torch.randn(5, 24, device=device).to(dtype)
            nothing = torch.empty(0, device=device)
            routes = torch.rand(5, 2, device=device)
            opcheck(mglu.ops.stack, (weight, logits))
            opcheck(mglu.ops.unstack, (torch.randn(72, 40, device=device), weight, logits))
            for p in (nothing, routes):
                opcheck(mglu.ops.combine, (streams, p, 3, 2, 1))
                opcheck(mglu.ops.combine_backward, (gradient, streams, p, 3, 2, 1))

    def test_flash(self):
        for device, found in ((d, u) for d in DEVICES for u in units_to_infer(d)):
            for (d, h), dtype in itertools.product(((37, 70), (64, 128)), TYPES):
                weight, logits = random_unit(found, d, h, device)
                bits = None if logits is None else reference.pack_bits(logits > 0)
                pack = packed.pack(found, weight, bits, dtype=dtype)
                unpacked, unpacked_bits = pack.unpack()
                self.assertTrue(bits is None or torch.equal(bits, unpacked_bits))
                if dtype is not torch.int8:
                    self.assertTrue(torch.equal(unpacked, weight.to(dtype)))
                elif device == "cuda":  # the integers and scales of a processor
                    self.assertTrue(torch.equal(unpacked.cpu(), packed.pack(
                        found, weight.cpu(), None if bits is None else bits.cpu(),
                        dtype=dtype).unpack()[0]))
                masks = None if bits is None else reference.unpack_bits(bits, h).double() - 0.5
                for rows in (1, 3, 33) if device == "cpu" else (1, 3, 33, 300):
                    x = torch.randn(rows, h, device=device)
                    routes = torch.rand(rows, found.masks, device=device) if found.masks else None
                    for p in (None, routes) if found.masks else (None,):
                        expected = reference.apply(x.double(), unpacked.double(), found, masks, p)
                        with self.subTest(device=device, unit=found, dtype=dtype, rows=rows):
                            exact = F.flash(x, pack, p, narrow=False)
                            # Sums of a GPU's tensor cores drop what lies below the last bit.
                            bound = 2e-6 if device == "cpu" else 3e-5
                            self.assertLess(error(exact, expected), bound)
                            if device == "cuda" and dtype is torch.float32:
                                continue
                            y = F.flash(x.bfloat16(), pack, p)
                            self.assertEqual(y.dtype, torch.bfloat16)
                            bound = 4e-2 if dtype is torch.int8 else 2e-2
                            self.assertLess(error(y, expected), bound)

    def test_gradients_of_packed_weights(self):
        for device, dtype, routed in itertools.product(DEVICES, TYPES, (False, True)):
            found = unit("mglu", 3)
            weight, logits = random_unit(found, 24, 40, device)
            pack = packed.pack(found, weight, reference.pack_bits(logits > 0), dtype=dtype)
            unpacked, bits = pack.unpack()
            masks = reference.unpack_bits(bits, 40).double() - 0.5
            x = torch.randn(2, 7, 40, device=device)
            leaves = [x] + [torch.rand(2, 7, 3, device=device)] * routed
            upstream = torch.randn(2, 7, 24, device=device)

            def gradients(function, dtype):
                inputs = [t.to(dtype).requires_grad_() for t in leaves]
                a = function(*inputs)
                return torch.autograd.grad(a, inputs, upstream.to(a.dtype))

            expected = gradients(lambda x, p=None: reference.apply(
                x, unpacked.double(), found, masks, p), torch.float64)
            result = gradients(lambda x, p=None: F.flash(x, pack, p), torch.float32)
            for r, e in zip(result, expected):
                with self.subTest(device=device, dtype=dtype, routed=routed):
                    self.assertLess(error(r, e), 4 * BOUND[product_type(device)])

    def test_gradients(self):
        for device, found, routed in itertools.product(DEVICES, units(), (False, True)):
            if routed and not found.masks:
                continue
            d, h, dtype = 24, 40, product_type(device)
            weight, logits = random_unit(found, d, h, device)
            x = torch.randn(2, 7, h, device=device)
            routes = torch.rand(2, 7, found.masks, device=device) if routed else None
            upstream = torch.randn(2, 7, d, device=device)

            def gradients(function, dtype):
                leaves = [t.detach().clone() if t is not None else None
                          for t in (x.to(dtype), weight, logits, routes)]
                if dtype is torch.float64:
                    leaves = [None if t is None else t.double() for t in leaves]
                leaves = [None if t is None else t.requires_grad_() for t in leaves]
                a = function(*leaves)
                a.backward(upstream.to(a.dtype))
                return [a] + [t.grad for t in leaves if t is not None]

            def ours(x, weight, logits, routes):
                if found.kind == "mglu":
                    return F.mglu(x, weight, logits, found.activation, found.ablation, routes)
                return getattr(F, found.kind)(x, weight, found.activation)

            results = gradients(ours, dtype)
            expected = gradients(
                lambda x, w, l, p: reference.apply(x, w, found, l, p), torch.float64)
            for result, wanted, name in zip(results, expected, ("a", "x", "w", "l", "p")):
                with self.subTest(device=device, unit=found, routed=routed, of=name):
                    self.assertLess(error(result, wanted), 4 * BOUND[dtype])

    def test_gradcheck_of_the_reference(self):
        # Masks are constant here: straight-through gradients are no derivatives.
        for found in units():
            weight, logits = (t if t is None else t.double() for t in random_unit(found, 3, 4, "cpu"))
            x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
            weight.requires_grad_()
            if found.activation in ("relu", "relu2"):
                continue  # not smooth
            self.assertTrue(torch.autograd.gradcheck(
                lambda x, w: reference.apply(x, w, found, logits), (x, weight)))

    def test_straight_through(self):
        weight, logits = random_unit(unit("mglu", 1), 3, 4, "cpu")
        weight, logits = weight.double(), logits.double()
        x = torch.randn(2, 4, dtype=torch.float64)
        mask = (logits > 0).double().requires_grad_()
        u = unit("mglu", 1)
        a = reference.combine(torch.nn.functional.linear(x, reference.stack(weight, mask)), u)
        a.sum().backward()
        logits.requires_grad_()
        reference.apply(x, weight, u, logits).sum().backward()
        self.assertTrue(torch.allclose(mask.grad, logits.grad))

    def test_compile(self):
        for device in DEVICES:
            layer = mglu.nn.MGLU(40, 24, 2, router_top_k=1, device=device)
            glu = mglu.nn.GLU(40, 24, device=device)
            x = torch.randn(5, 40, device=device, dtype=product_type(device), requires_grad=True)
            for module in (layer, glu):
                def step(x):
                    return module(x).square().sum()

                expected = torch.autograd.grad(step(x), [x, module.weight])
                compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
                found = torch.autograd.grad(compiled(x), [x, module.weight])
                for f, e in zip(found, expected):
                    self.assertLess(error(f, e), 4 * BOUND[x.dtype])
            flash = mglu.nn.FlashMGLU.from_module(layer, dtype=torch.bfloat16)
            with torch.no_grad():
                y = x.detach()
                compiled = torch.compile(flash, fullgraph=True, backend="aot_eager")
                self.assertTrue(torch.equal(compiled(y), flash(y)))

    def test_old_gpus_have_no_kernels(self):
        """What they compute is the reference's."""
        device = torch.device("cuda", 0)
        for major, is_supported in ((7, False), (8, True), (9, True), (12, True)):
            properties = types.SimpleNamespace(major=major, minor=5)
            with mock.patch("torch.cuda.is_available", lambda: True), mock.patch(
                    "torch.cuda.get_device_properties", lambda device: properties), mock.patch(
                    "torch.version.hip", None):
                self.assertEqual(mglu.ops.supports(device), is_supported)
        with mock.patch("torch.version.hip", "6.0"):
            self.assertFalse(mglu.ops.supports(device))
        self.assertFalse(mglu.ops.supports(torch.device("meta")))
        with mock.patch.object(mglu.ops, "supports", lambda device: False):
            with self.assertRaisesRegex(ValueError, "compute capability 8.0"):
                packed.pack(unit("lu"), torch.zeros(2, 3))
            layer = mglu.nn.MGLU(40, 24, 2)
            x = torch.randn(3, 40)
            self.assertTrue(torch.equal(
                layer(x), reference.apply(x, layer.weight, layer.unit, layer.mask_logits)))

    @unittest.skipUnless(SOURCES.exists(), "the library's sources are not there")
    def test_rows_that_are_computed_together(self):
        """Both implementations of the operators tell the library the same."""
        found = re.findall(r"\b(\w*PROMPT_ROWS) = (\d+)", (SOURCES / "torch.c").read_text())
        names = {"PROMPT_ROWS": "cpu", "GPU_PROMPT_ROWS": "cuda"}
        self.assertEqual({names[name]: int(rows) for name, rows in found}, mglu.ops.PROMPT_ROWS)

    def test_autocast_and_checkpoint(self):
        for device in DEVICES:
            layer = mglu.nn.MGLU(40, 24, 2, device=device)
            x = torch.randn(5, 40, device=device, requires_grad=True)
            with torch.autocast(device, torch.bfloat16):
                a = layer(x)
            self.assertEqual(a.dtype, torch.bfloat16)
            a.float().sum().backward()
            self.assertEqual(layer.mask_logits.grad.dtype, torch.float32)
            dtype = product_type(device)
            inputs = [x.detach().to(dtype).requires_grad_() for _ in range(2)]
            layer(inputs[0]).sum().backward()
            torch.utils.checkpoint.checkpoint(layer, inputs[1], use_reentrant=False).sum().backward()
            self.assertTrue(torch.equal(inputs[0].grad, inputs[1].grad))


if __name__ == "__main__":
    unittest.main()
