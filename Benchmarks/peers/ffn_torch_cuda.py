#!/usr/bin/env python3
"""PyTorch's units and the paper's kernel on a CUDA GPU: the peers of Benchmarks/ffn_cuda.

    ffn_torch_cuda.py [--shapes 8192x2048,14336x4096] [--masks 1,2,4,8] [--batch 1,8,16] [--json]

Shapes are d x h, weights are cold in L2, times are microseconds of a call: cuda_timing.py says how.
glu_torch               one product with the merged [2 d, h], then silu and a product, eager
                        operations captured in a CUDA graph
glu_torch_compiled      the same by torch.compile, max-autotune, captured in a CUDA graph
mglu_naive_torch        2 n_m products with masked copies of W made each time, eager, without a
                        graph (the paper's naive baseline, arXiv 2506.23225, section 4)
mglu_naive_torch_graph  the same captured in a CUDA graph
paper                   the paper's kernel: paper_kernel.py (batch 1, FP16; needs CuPy)
Relative errors are against float64 over the same weights.
"""
import argparse
import contextlib
import json
import sys
import time

import torch
import torch.nn.functional as F

from cuda_timing import (
    DEVICE, DTYPES, copies, eager_times, glu, graph_times, naive_mglu, note, quantiles,
    read_bandwidth, relative_error, rotation)

PAPER_TOLERANCE = 2e-3
# Naive calls are long: fewer of them already hide what starts a graph.
NAIVE_CALLS, NAIVE_REPLAYS = 8, 20


class Benchmark:
    """Times the units of one shape."""

    def __init__(self, options, d, h, results):
        self.options, self.d, self.h, self.results = options, d, h, results
        self.dtype = DTYPES[options.dtype]
        self.merged = (torch.randn(2 * d, h, device=DEVICE) / h ** 0.5).to(self.dtype)
        self.bits = torch.randint(256, (d, h), dtype=torch.uint8, device=DEVICE)
        self.inputs = {batch: torch.randn(batch, h, device=DEVICE).to(self.dtype)
                       for batch in options.batch}

    def add(self, unit, masks, batch, times, error, text=""):
        p20, p50, p80 = quantiles(times)
        row = {"unit": unit, "masks": masks, "shape": f"{self.d}x{self.h}",
               "weights": self.options.dtype, "batch": batch,
               "p20_us": p20, "p50_us": p50, "p80_us": p80, "relative_error": error, "note": text}
        self.results.append(row)
        note(f"{unit:24} n_m {masks} {row['shape']:12} batch {batch:2}: "
             f"{p20:8.1f} {p50:8.1f} {p80:8.1f} us, error {error:.1e} {text}")

    def copied(self, *operands):
        """Copies of operands, together larger than the cache; the first are the operands."""
        count = copies(sum(operand.nbytes for operand in operands))
        return [operands] + [tuple(o.clone() for o in operands) for _ in range(count - 1)]

    def glu(self, batch, compiled=False):
        x = self.inputs[batch]
        unit = glu
        if compiled:
            torch._dynamo.reset()
            unit = torch.compile(glu, mode="max-autotune-no-cudagraphs", dynamic=False)
        start = time.perf_counter()
        error = relative_error(unit(x, self.merged), glu(x.double(), self.merged.double()))
        text = f"compiled in {time.perf_counter() - start:.0f} s" if compiled else ""
        calls = rotation(lambda merged: unit(x, merged), self.copied(self.merged))
        self.add("glu_torch_compiled" if compiled else "glu_torch", 0, batch,
                 graph_times(calls, self.options.replays), error, text)

    def reference(self, x, masks):
        """The masked unit in float64."""
        x, weight = x.double(), self.merged[:self.d].double()
        total = F.linear(x, weight)
        gates = [F.linear(x, weight * (self.bits >> index & 1)) for index in range(masks)]
        return sum(F.silu(gate) * (total - gate) for gate in gates)

    def naive(self, masks):
        weight = self.merged[:self.d]
        operands = self.copied(
            weight, *((self.bits >> index & 1).to(self.dtype) for index in range(masks)))
        replays = min(NAIVE_REPLAYS, self.options.replays)
        for batch, x in self.inputs.items():
            def unit(weight, *masks):
                return naive_mglu(x, weight, masks)
            error = relative_error(unit(*operands[0]), self.reference(x, masks))
            calls = rotation(unit, operands, NAIVE_CALLS)
            self.add("mglu_naive_torch", masks, batch, eager_times(calls, replays), error, "eager")
            self.add("mglu_naive_torch_graph", masks, batch, graph_times(calls, replays), error)

    def paper(self, masks):
        from paper_kernel import PaperKernel
        x = torch.randn(1, self.h, device=DEVICE).to(self.dtype)
        kernel = PaperKernel(self.d, self.h, masks)
        operands = self.copied(self.merged[:self.d], self.bits)
        calls = rotation(lambda weight, bits: kernel(x, weight, bits), operands)
        text = kernel.tune(lambda: quantiles(graph_times(calls, 7))[1])
        times = graph_times(calls, self.options.replays)
        error = relative_error(kernel(x, *operands[0]), self.reference(x, masks))
        self.add("paper", masks, 1, times, error, text)
        if not error < PAPER_TOLERANCE:
            sys.exit(f"the paper's kernel, n_m {masks}, {self.d}x{self.h}: relative error "
                     f"{error:.1e}, expected less than {PAPER_TOLERANCE}")


def measure(options):
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    results = []
    found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
             "read_gb_per_s": read_bandwidth(), "results": results}
    note(f"{found['device']}, PyTorch {found['torch']}, reads {found['read_gb_per_s']:.0f} GB/s")
    for d, h in options.shapes:
        benchmark = Benchmark(options, d, h, results)
        for batch in options.batch:
            benchmark.glu(batch)
        for masks in options.masks:
            if options.dtype == "fp16" and not options.skip_paper:
                benchmark.paper(masks)
            benchmark.naive(masks)
    # Compiling takes most of the time: the small batches first, and no more once it has taken long.
    start = time.perf_counter()
    cases = [(batch, d, h) for batch in options.batch for d, h in options.shapes]
    for batch, d, h in [] if options.skip_compiled else cases:
        if time.perf_counter() - start > options.compile_seconds:
            note(f"glu_torch_compiled {d}x{h} batch {batch} left out: --compile-seconds are spent")
            continue
        Benchmark(options, d, h, results).glu(batch, compiled=True)
    return found


def integers(text):
    return [int(item) for item in text.split(",")]


def sizes(text):
    return [tuple(map(int, item.split("x"))) for item in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=sizes, default="8192x2048,14336x4096")
    parser.add_argument("--masks", type=integers, default="1,2,4,8")
    parser.add_argument("--dtype", choices=list(DTYPES), default="fp16")
    parser.add_argument("--batch", type=integers, default="1,8,16")
    parser.add_argument("--replays", type=int, default=50)
    parser.add_argument("--skip-compiled", action="store_true")
    parser.add_argument("--compile-seconds", type=float, default=40,
                        help="start no further torch.compile after so long")
    parser.add_argument("--skip-paper", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    with contextlib.redirect_stdout(sys.stderr):
        found = measure(options)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
