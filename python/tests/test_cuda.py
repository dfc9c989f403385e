"""What only GPUs have: streams, graphs, several devices, moves between them."""

import threading
import unittest

import torch

import mglu
from mglu import reference


@unittest.skipUnless(torch.cuda.is_available(), "there is no GPU")
class CUDA(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def layers(self):
        yield mglu.nn.MGLU(136, 72, 3)
        yield mglu.nn.MGLU(128, 64, 4)
        yield mglu.nn.GLU(136, 72)

    def test_moves(self):
        for layer in self.layers():
            for dtype in (torch.float16, torch.bfloat16, torch.int8):
                flash = mglu.nn.FLASH[layer.unit.kind].from_module(layer, dtype)
                state, x = flash.state_dict(), torch.randn(3, layer.hidden_size)
                with torch.no_grad():
                    here = flash(x)
                    flash.cuda()
                    there = flash(x.cuda()).cpu()
                    self.assertLess(float((here - there).abs().max() / here.abs().max()), 3e-5)
                    for name, tensor in flash.state_dict().items():
                        self.assertTrue(torch.equal(tensor.cpu(), state[name]), name)
                    # Kernels for prompts, where there are any, or torch's product.
                    many = torch.randn(600, layer.hidden_size, device="cuda").half()
                    together, few = flash(many).float(), flash(many[:7]).float()
                    self.assertLess(
                        float((together[:7] - few).abs().max() / few.abs().max()), 3e-2)
                    self.assertTrue(torch.equal(flash.cpu()(x), here))

    def test_wide_rows_are_staged(self):
        layer = mglu.nn.MGLU(65_536, 32, 1)
        flash = mglu.nn.FlashMGLU.from_module(layer, torch.bfloat16)
        x = torch.randn(1, 65_536).bfloat16()
        with torch.no_grad():
            here = flash(x).float()
            there = flash.cuda()(x.cuda()).float().cpu()
        self.assertLess(float((here - there).abs().max() / here.abs().max()), 3e-2)

    def test_many_rows(self):
        for masks, top_k, dtype in ((1, None, torch.bfloat16), (4, 2, torch.float16), (8, None, torch.int8)):
            layer = mglu.nn.MGLU(200, 72, masks, router_top_k=top_k).cuda()
            flash = mglu.nn.FlashMGLU.from_module(layer, dtype)
            x = torch.randn(5, 333, 200, device="cuda")
            bound = {torch.bfloat16: 2e-2, torch.float16: 4e-3, torch.int8: 4e-2}[dtype]
            with torch.no_grad():
                layer.double()
                for x_type in (torch.bfloat16, torch.float16, torch.float32):
                    # A router may choose another mask for a rounded row.
                    wanted = layer(x.to(x_type).double())
                    found = flash(x.to(x_type)).double()
                    error = float((found - wanted).abs().max() / wanted.abs().max())
                    self.assertLess(error, max(bound, 2e-2 if x_type is torch.bfloat16 else 0))

    def test_memory_of_calls_may_hold_anything(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(200, 72, 3), torch.bfloat16).cuda()
        for rows in (7, 40, 300):
            x = torch.randn(rows, 200, device="cuda")
            with torch.no_grad():
                wanted = flash(x)
                # What torch hands out next holds no numbers.
                for size in (1 << 12, 1 << 16, 1 << 20, 1 << 22):
                    del_me = torch.full((size,), float("nan"), device="cuda")
                    del del_me
                self.assertTrue(torch.equal(flash(x), wanted))

    def test_graph(self):
        for dtype, top_k, counts in ((torch.bfloat16, None, (4, 40, 300)), (torch.int8, None, (4,)),
                                     (torch.float16, 2, (1, 4))):
            layer = mglu.nn.MGLU(1024, 512, 4, router_top_k=top_k)
            flash = mglu.nn.FlashMGLU.from_module(layer, dtype).cuda()
            flash.prepare(rows=max(counts))
            x_type = torch.bfloat16 if dtype is torch.int8 else dtype
            for rows in counts:
                x = torch.randn(rows, 1024, device="cuda").to(x_type)
                with torch.no_grad():
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph):
                        y = flash(x)
                    for _ in range(3):
                        x.copy_(torch.randn(rows, 1024))
                        graph.replay()
                        self.assertTrue(torch.equal(y, flash(x)))

    def test_compile(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(256, 128, 2), torch.bfloat16).cuda()
        layer = mglu.nn.MGLU(256, 128, 2).cuda()
        x = torch.randn(9, 256, device="cuda").bfloat16()
        with torch.no_grad():
            wanted = flash(x) * 2
            found = torch.compile(lambda x: flash(x) * 2, fullgraph=True)(x)
            self.assertTrue(torch.equal(found, wanted))

        def step(x):
            return layer(x).float().square().sum()

        y = x.clone().requires_grad_()
        wanted = torch.autograd.grad(step(y), [y, layer.weight, layer.mask_logits])
        found = torch.autograd.grad(
            torch.compile(step, fullgraph=True)(y), [y, layer.weight, layer.mask_logits])
        for f, w in zip(found, wanted):
            self.assertLess(float((f - w).abs().max() / w.abs().max()), 3e-2)

    def test_threads(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(768, 3072, 2), torch.bfloat16).cuda()
        xs = [torch.randn(n, 768, device="cuda").bfloat16() for n in (1, 3, 40, 300)]
        with torch.no_grad():
            wanted = [flash(x) for x in xs]
        torch.cuda.synchronize()
        wrong = []

        def work(index):
            with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
                for _ in range(100):
                    y = flash(xs[index])
                    torch.cuda.current_stream().synchronize()
                    if not torch.equal(y, wanted[index]):
                        wrong.append(index)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_streams(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(4096, 4096, 2), torch.bfloat16).cuda()
        xs = [torch.randn(1, 4096, device="cuda").bfloat16() for _ in range(2)]
        streams = [torch.cuda.Stream() for _ in range(2)]
        with torch.no_grad():
            wanted = [flash(x) for x in xs]
            torch.cuda.synchronize()
            found = [[], []]
            for _ in range(50):
                for i, stream in enumerate(streams):
                    with torch.cuda.stream(stream):
                        found[i].append(flash(xs[i] * 1))
            torch.cuda.synchronize()
        for i in range(2):
            self.assertTrue(all(torch.equal(y, wanted[i]) for y in found[i]))

    def test_devices(self):
        if torch.cuda.device_count() < 2:
            self.skipTest("there is one GPU")
        layer = mglu.nn.MGLU(256, 128, 2)
        flashes = [mglu.nn.FlashMGLU.from_module(layer, torch.bfloat16).to(f"cuda:{i}")
                   for i in range(2)]
        x = torch.randn(2, 256).bfloat16()
        with torch.no_grad():
            results = [flash(x.to(f"cuda:{i}")).cpu() for i, flash in enumerate(flashes)]
            self.assertEqual(torch.cuda.current_device(), 0)
            with self.assertRaises(RuntimeError):
                flashes[0](x.to("cuda:1"))
        self.assertTrue(torch.equal(*results))

    def test_refusals(self):
        flash = mglu.nn.FlashMGLU.from_module(mglu.nn.MGLU(64, 32, 2), torch.bfloat16)
        x = torch.randn(2, 64)
        with torch.no_grad():
            with self.assertRaises(RuntimeError):
                flash(x.cuda())
            flash.cuda()
            with self.assertRaises(RuntimeError):
                flash(x)
            # The sizes of cells of 64 columns tell 63 from 64 no more than 127 from 128.
            p = flash.packed
            for columns in (1, 63, 65, 127, 128):
                other = torch.randn(2, columns, device="cuda")
                with self.assertRaises(RuntimeError):
                    mglu.ops.fused_linear_plain(other, p.weight, p.words, p.number)
                with self.assertRaises(ValueError):
                    flash(other)
            whole = torch.randn(131, device="cuda")
            shifted = whole[3:131].view(2, 64)  # no multiple of 16 bytes
            self.assertTrue(torch.equal(flash(shifted), flash(shifted.clone())))
        with self.assertRaises(RuntimeError):
            mglu.ops.combine(torch.randn(2, 96, device="cuda"), torch.empty(0, device="cuda"), 3, 2, 1)

    def test_training(self):
        for layer in self.layers():
            layer.cuda()
            x = torch.randn(64, layer.hidden_size, device="cuda", requires_grad=True)
            with torch.autocast("cuda", torch.bfloat16):
                a = layer(x)
            upstream = torch.randn_like(a)
            a.backward(upstream)
            found = [x.grad.clone()] + [p.grad.clone() for p in layer.parameters()]
            leaves = [t.detach().double().requires_grad_() for t in (x, *layer.parameters())]
            wanted = torch.autograd.grad(
                reference.apply(leaves[0], leaves[1], layer.unit, *leaves[2:3]), leaves,
                upstream.double())
            for f, w in zip(found, wanted):
                self.assertLess(float((f.double() - w).abs().max() / w.abs().max()), 3e-2)


if __name__ == "__main__":
    unittest.main()
