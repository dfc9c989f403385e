"""The layers: their state, their moves, and what they refuse."""

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
import time
import unittest

import torch

import mglu
from mglu import packed, reference
from mglu.units import ROWS_SHIFT, unit


class Layers(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def layers(self):
        yield mglu.nn.MGLU(70, 37, 3)
        yield mglu.nn.MGLU(64, 32, 4, "gelu", router_top_k=2)
        yield mglu.nn.GLU(64, 32)
        yield mglu.nn.SharedGLU(64, 32)
        yield mglu.nn.LU(64, 32, "relu2")

    def test_from_module_and_state_dict(self):
        for layer in self.layers():
            x = torch.randn(2, 3, layer.hidden_size)
            for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int8):
                flash = mglu.nn.FLASH[layer.unit.kind].from_module(layer, dtype)
                with self.subTest(layer=layer, dtype=dtype), torch.no_grad():
                    self.assertEqual(flash.dtype, dtype)
                    bound = {torch.float32: 1e-5, torch.float16: 4e-3}.get(dtype, 4e-2)
                    wanted = layer(x)
                    found = flash(x)
                    self.assertLess(float((found - wanted).abs().max() / wanted.abs().max()), bound)
                    file = io.BytesIO()
                    torch.save(flash.state_dict(), file)
                    file.seek(0)
                    other = type(flash)(
                        layer.hidden_size, layer.intermediate_size, activation=layer.unit.activation,
                        dtype=dtype, **({"masks": layer.unit.masks, "router_top_k": layer.router_top_k}
                                        if layer.unit.masks else {}))
                    other.load_state_dict(torch.load(file))
                    self.assertTrue(torch.equal(other(x), found))
                    for twin in (copy.deepcopy(flash), pickle.loads(pickle.dumps(flash)),
                                 flash.to(torch.float64)):
                        self.assertEqual(twin.dtype, dtype)
                        self.assertTrue(torch.equal(twin(x), found))

    def test_states_of_other_sizes_are_refused(self):
        """What reads memory by its sizes must have them."""
        for kind in (mglu.nn.FlashGLU, mglu.nn.FlashLU):
            small, big = kind(8, 6), kind(16, 6)
            for state in (big.state_dict(), {"weight": torch.zeros(6)}, {"weight": torch.zeros(13, 8)}):
                with self.subTest(kind=kind, state=state), self.assertRaisesRegex(RuntimeError, "size"):
                    small.load_state_dict(state)
        layer = mglu.nn.FlashLU(64, 32, dtype=torch.int8)
        state = layer.state_dict()
        state["weight_scale"] = state["weight_scale"][:1, :1].clone()
        with self.assertRaisesRegex(RuntimeError, "scales"):
            layer.load_state_dict(state)
        with self.assertRaises(ValueError):
            packed.pack(unit("lu", 0, "silu"), torch.zeros(2, 3, 4))
        for top_k in (0, 5):
            with self.assertRaises(ValueError):
                mglu.nn.FlashMGLU(8, 6, 2, router_top_k=top_k)
        with self.assertRaises(ValueError):
            mglu.nn.FlashMGLU(0, 6, 2)

    def test_second_derivatives_are_refused(self):
        layers = list(self.layers())
        layers += [mglu.nn.FLASH[layer.unit.kind].from_module(layer) for layer in layers]
        for layer in layers:
            x = torch.randn(2, layer.hidden_size, requires_grad=True)
            with self.subTest(layer=layer), self.assertRaisesRegex(RuntimeError, "second derivative"):
                torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        x = torch.randn(2, 70, dtype=torch.float64, requires_grad=True)
        first, = torch.autograd.grad(layers[0].double()(x).sum(), x, create_graph=True)
        self.assertGreater(float(torch.autograd.grad(first.square().sum(), x)[0].abs().max()), 0)

    def test_weights_without_content_compute_nothing(self):
        for dtype in (torch.bfloat16, torch.int8):
            flash = mglu.nn.FlashMGLU(64, 32, 2, device="meta", dtype=dtype)
            with torch.no_grad(), self.assertRaisesRegex(RuntimeError, "meta"):
                flash(torch.randn(4, 64))

    def test_parts_without_content_compute_nothing(self):
        """One argument on meta, and the rest with content."""
        layer = mglu.nn.MGLU(64, 32, 2)
        p = mglu.nn.FlashMGLU.from_module(layer, torch.bfloat16).packed
        x, streams, gradient = torch.randn(4, 64), torch.randn(4, 96), torch.randn(4, 32)
        stack = torch.randn(96, 64)
        weight, logits, routes = layer.weight.detach(), layer.mask_logits.detach(), torch.rand(4, 2)
        for op, good in ((mglu.ops.fused_linear, (x, p.weight, p.words, p.scales, routes, p.number)),
                         (mglu.ops.fused_linear_plain, (x, p.weight, p.words, p.number)),
                         (mglu.ops.stack, (weight, logits)), (mglu.ops.unstack, (stack, weight, logits)),
                         (mglu.ops.combine, (streams, routes, 3, 2, 1)),
                         (mglu.ops.combine_backward, (gradient, streams, routes, 3, 2, 1))):
            op(*good)
            for place, value in enumerate(good):
                if isinstance(value, torch.Tensor):
                    wrong = (*good[:place], value.to("meta"), *good[place + 1 :])
                    with self.subTest(op=op, place=place), self.assertRaisesRegex(RuntimeError, "expected"):
                        op(*wrong)

    def test_numbers_of_threads(self):
        for wrong in (-1, 1025, 2**32 + 1):
            with self.assertRaises(ValueError):
                mglu.set_num_threads(wrong)

    def test_threads_are_kept(self):
        if not os.path.exists("/proc/self/task"):
            self.skipTest("this system has no /proc that counts threads")

        def alternate():
            for threads in (1, 2):
                mglu.set_num_threads(threads)
            return len(os.listdir("/proc/self/task"))

        count = torch.get_num_threads()
        expected = alternate()
        self.assertEqual([alternate() for _ in range(5)], [expected] * 5)
        mglu.set_num_threads(count)

    def test_threads_serve_shapes_already_used(self):
        """Threads that are set after a call take part in the next ones."""
        main = str(threading.get_native_id())
        if not os.path.exists(f"/proc/self/task/{main}/schedstat"):
            self.skipTest("this system does not say what threads ran")

        def others():
            ran = 0
            for task in os.listdir("/proc/self/task"):
                if task != main:
                    with open(f"/proc/self/task/{task}/schedstat") as file:
                        ran += int(file.read().split()[0])
            return ran

        def compute(until):
            before = others()
            while others() - before < 5_000_000 and time.monotonic() < until:
                for _ in range(20):
                    flash(x)
            return others() - before

        flash, x = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(768, 3072, 2), torch.bfloat16), torch.randn(1, 768)
        count = torch.get_num_threads()
        try:
            with torch.no_grad():
                mglu.set_num_threads(1)
                flash(x)
                # New threads run a moment to come up: 5 ms are work.
                mglu.set_num_threads(2)
                self.assertGreater(compute(time.monotonic() + 20), 5_000_000)
                mglu.set_num_threads(1)
                self.assertLess(compute(time.monotonic() + 0.2), 5_000_000)
        finally:
            mglu.set_num_threads(count)

    def test_buffers_are_replaced(self):
        """A layer computes with the buffers that it has, whoever put them there."""
        for layer in self.layers():
            for dtype in (torch.float32, torch.int8):
                flash, other = (
                    mglu.nn.FLASH[layer.unit.kind].from_module(part, dtype)
                    for part in (layer, copy.deepcopy(layer).apply(lambda m: m.reset_parameters())))
                x = torch.randn(2, layer.hidden_size)
                with self.subTest(layer=layer, dtype=dtype), torch.no_grad():
                    own, wanted = flash(x), other(x)
                    state = {**dict(other.named_buffers()), **dict(other.named_parameters())}
                    self.assertTrue(torch.equal(torch.func.functional_call(flash, state, (x,)), wanted))
                    self.assertTrue(torch.equal(flash(x), own))
                    if layer.unit.masks:  # the masks alone
                        mixed = torch.func.functional_call(flash, {"_words": other._words}, (x,))
                        self.assertFalse(torch.equal(mixed, own))

    def test_rows_do_not_depend_on_their_batch(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(256, 512, 4), torch.bfloat16)
        x = torch.randn(9, 256).bfloat16()
        with torch.no_grad():
            together = flash(x)
            for row in range(9):
                self.assertTrue(torch.equal(flash(x[row]), together[row]))

    def test_meta_and_missing_keys(self):
        flash = mglu.nn.FlashMGLU(64, 32, 2, dtype=torch.bfloat16, device="meta")
        state = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(64, 32, 2), torch.bfloat16).state_dict()
        flash.to_empty(device="cpu").load_state_dict(state)
        self.assertTrue(torch.equal(flash.state_dict()["masks"], state["masks"]))
        with self.assertRaisesRegex(RuntimeError, "masks"):
            flash.load_state_dict({"weight": state["weight"]})
        with self.assertRaisesRegex(RuntimeError, "bits"):
            flash.load_state_dict({"weight": state["weight"], "masks": state["masks"][:1]})

    def test_without_content(self):
        """Shapes on meta, and a state that is assigned, as loaders of big models do."""
        x = torch.randn(3, 64)
        for top_k in (None, 1):
            with torch.device("meta"):
                layer = mglu.nn.MGLU(64, 32, 2, router_top_k=top_k)
                flash = mglu.nn.FlashMGLU(64, 32, 2, router_top_k=top_k, dtype=torch.int8)
            self.assertTrue(flash._weight.is_meta)
            for module in (layer, flash):
                a = module(x.to("meta"))
                self.assertTrue(a.is_meta)
                self.assertEqual(a.shape, (3, 32))
            state = mglu.nn.FlashMGLU.from_module(
                mglu.nn.MGLU(64, 32, 2, router_top_k=top_k), torch.int8).state_dict()
            other = mglu.nn.FlashMGLU(64, 32, 2, router_top_k=top_k, dtype=torch.int8)
            other.load_state_dict(state)
            flash.load_state_dict(state, assign=True)
            self.assertTrue(torch.equal(flash(x), other(x)))

    def test_inputs_of_any_layout_and_type(self):
        layer = mglu.nn.MGLU(64, 32, 2)
        flash = mglu.nn.FlashMGLU.from_module(layer, torch.bfloat16)
        x = torch.randn(64, 5)
        with torch.no_grad():
            self.assertTrue(torch.equal(flash(x.t()), flash(x.t().contiguous())))
            self.assertTrue(torch.allclose(layer(x.t()), layer(x.t().contiguous()), atol=1e-6))
            self.assertEqual(flash(x.t()[:0]).shape, (0, 32))
            self.assertEqual(layer(x.t()[:0]).shape, (0, 32))
            self.assertEqual(flash(x.t().double()).dtype, torch.float64)
        y = x.t().clone().requires_grad_()
        flash(y).sum().backward()  # of the reference
        self.assertTrue(y.grad.abs().sum() > 0)

    def test_refusals(self):
        layer = mglu.nn.MGLU(64, 32, 2)
        flash = mglu.nn.FlashMGLU.from_module(layer, torch.bfloat16)
        p, op = flash.packed, mglu.ops.fused_linear
        x = torch.randn(2, 64)
        good = [x, p.weight, p.words, p.scales, p.nothing, p.number]
        with torch.no_grad():
            op(*good)
            wrong = {
                0: [torch.randn(2, 63), x.double(), x.int(), x.t().contiguous().t(), torch.tensor(1.0),
                    torch.empty(2, 64, device="meta")],
                1: [p.weight[:, :31], p.weight.double(), p.weight[:0], p.weight[..., :32],
                    p.weight.transpose(1, 2)],
                2: [p.words[:31], p.nothing, p.words.short()],
                3: [torch.ones(1).half()],
                4: [torch.rand(2, 3), torch.rand(2, 2).double()],
                5: [number | rows << ROWS_SHIFT for number, rows in (
                    (p.number & 0xffff, 0), (p.number & 0xffff, 31), (p.number & 0xffff, 2**38),
                    (0, 32), (1, 32), (6, 32), (3, 32), (3 | 17 << 8, 32), (3 | 7 << 4 | 2 << 8, 32))
                    ] + [-1, -p.number],
            }
            for place, values in wrong.items():
                for value in values:
                    arguments = [*good]
                    arguments[place] = value
                    with self.subTest(place=place, value=value):
                        if isinstance(value, torch.Tensor) and value.is_meta:
                            continue
                        with self.assertRaises((RuntimeError, NotImplementedError)):
                            op(*arguments)
            for value in (torch.randn(2, 63), torch.tensor(1.0).reshape(1)):
                with self.assertRaises(ValueError):
                    flash(value)
                with self.assertRaises(ValueError):
                    layer(value)
            for ours in (lambda: mglu.ops.stack(layer.weight.double(), layer.mask_logits),
                         lambda: mglu.ops.stack(layer.weight, layer.mask_logits[:, :3]),
                         lambda: mglu.ops.combine(torch.randn(2, 95), p.nothing, 3, 2, 1),
                         lambda: mglu.ops.combine(torch.randn(2, 96).double(), p.nothing, 3, 2, 1),
                         lambda: mglu.ops.combine(torch.randn(2, 96), torch.rand(3, 2), 3, 2, 1)):
                with self.assertRaises(RuntimeError):
                    ours()
        for bad in (dict(masks=0), dict(masks=17), dict(activation="tanh"), dict(ablation="x"),
                    dict(masks=2, router_top_k=3)):
            with self.assertRaises(ValueError):
                mglu.nn.MGLU(64, 32, **bad)
        with self.assertRaisesRegex(ValueError, "FlashMGLU"):
            mglu.nn.FlashMGLU.from_module(flash)
        with self.assertRaises(ValueError):
            mglu.nn.FlashGLU.from_module(layer)
        with self.assertRaises(ValueError):
            mglu.nn.FlashMGLU.from_module(layer, torch.float64)


class Processes(unittest.TestCase):
    """Threads and forks."""

    def setUp(self):
        torch.manual_seed(0)
        self.flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(768, 3072, 2), torch.bfloat16)
        self.layer = mglu.nn.MGLU(64, 96, 2)

    def test_threads(self):
        xs = [torch.randn(1, 768) for _ in range(4)]
        with torch.no_grad():
            expected = [self.flash(x) for x in xs]
        wrong = []

        def work(index):
            with torch.no_grad():
                for _ in range(200):
                    if not torch.equal(self.flash(xs[index]), expected[index]):
                        wrong.append(index)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_fork(self):
        for threads in (1, 2, 4):
            mglu.set_num_threads(threads)
            x = torch.randn(1, 768)
            with torch.no_grad():
                expected = self.flash(x)
            child = os.fork()
            if child == 0:
                with torch.no_grad():
                    same = torch.equal(self.flash(x), expected)
                os._exit(0 if same else 1)
            for _ in range(1200):
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    break
                time.sleep(0.05)
            else:
                os.kill(child, 9)
                os.waitpid(child, 0)
                self.fail(f"a child of {threads} threads hangs")
            self.assertEqual(status, 0)
            with torch.no_grad():
                self.assertTrue(torch.equal(self.flash(x), expected))

    def test_forked_while_other_threads_compute(self):
        mglu.set_num_threads(2)
        x, stop = torch.randn(1, 768), threading.Event()

        def work():
            with torch.no_grad():
                while not stop.is_set():
                    self.flash(x)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    with torch.no_grad():
                        self.flash(x)
                    os._exit(0)
                for _ in range(1200):
                    pid, status = os.waitpid(child, os.WNOHANG)
                    if pid:
                        self.assertEqual(status, 0)
                        break
                    time.sleep(0.05)
                else:
                    os.kill(child, 9)
                    os.waitpid(child, 0)
                    self.fail("a child hangs")
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_data_loader_workers(self):
        loader = torch.utils.data.DataLoader(Rows(self.flash), batch_size=2, num_workers=2)
        with torch.no_grad():
            self.assertEqual(torch.cat(list(loader)).shape, (6, 3072))


class Rows(torch.utils.data.Dataset):
    """Rows that workers compute."""

    def __init__(self, flash):
        self.flash = flash

    def __len__(self):
        return 6

    def __getitem__(self, index):
        with torch.no_grad():
            return self.flash(torch.full((768,), float(index)))


class Fallback(unittest.TestCase):
    """The implementations in Python, which torch before 2.9 gets."""

    @unittest.skipIf(os.environ.get("MGLU_TORCH") == "python", "they run already")
    def test_same_suites(self):
        if not mglu.ops.is_stable:
            self.skipTest("torch is that old")
        environment = {**os.environ, "MGLU_TORCH": "python"}
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "unittest", "test_nn", "test_ops.Operators.test_opcheck_training",
             "test_ops.Operators.test_opcheck_fused_linear", "test_ops.Operators.test_gradients"],
            cwd=os.path.dirname(os.path.abspath(__file__)), env=environment, check=True,
            capture_output=True)


if __name__ == "__main__":
    unittest.main()
