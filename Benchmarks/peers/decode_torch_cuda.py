#!/usr/bin/env python3
"""Decoding by compiled PyTorch on a CUDA GPU: the peer of Benchmarks/decode_cuda.

    decode_torch_cuda.py [--masks 1,4] [--skip-swiglu] [--skip-naive] [--json]

The model of torch_decoder.py with random weights, batch 1. A token is written at position 512 into a
static cache of 1024, up to its logits. torch.compile with max-autotune,
captured in a CUDA graph of one token; replays follow each other, and each is timed.

SwiGLU is compiled as one graph. SwiMGLU is the naive yardstick: 2 n_m products with W * M and
W * ~M, masks are bool, and the compiler may fuse what it can. It is compiled block by block, which
costs a small kernel or two in each layer and saves minutes of compiling.
"""
import argparse
import contextlib
import json
import sys
import time

import torch

from cuda_timing import graph_times, note, quantiles, read_bandwidth
from torch_decoder import decode_inputs, decoder

CONTEXT, POSITION = 1024, 512
MODE = "max-autotune-no-cudagraphs"


def decode(masks, options):
    """A row: the time of a token."""
    torch._dynamo.reset()
    model = decoder(masks, context=CONTEXT)
    arguments = decode_inputs(1, POSITION, CONTEXT)
    eager = model(*arguments)
    start = time.perf_counter()
    if masks:  # one compilation serves all blocks
        for block in model.blocks:
            block.compile(mode=MODE, dynamic=False, fullgraph=True)
        model.head = torch.compile(model.head, mode=MODE, dynamic=False)
        step = model
    else:
        step = torch.compile(model, mode=MODE, dynamic=False, fullgraph=True)
    difference = float((step(*arguments) - eager).float().norm() / eager.float().norm())
    seconds = time.perf_counter() - start
    times = graph_times([lambda: step(*arguments)], options.replays)
    p20, p50, p80 = (value / 1e3 for value in quantiles(times))
    # What a token reads: every weight and mask byte, and the whole static cache.
    read = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    row = {"model": f"SwiMGLU, n_m = {masks}" if masks else "SwiGLU",
           "unit": "mglu_naive_torch_compiled" if masks else "glu_torch_compiled",
           "masks": masks, "weights": "fp16", "batch": 1, "position": POSITION, "context": CONTEXT,
           "p20_ms": p20, "p50_ms": p50, "p80_ms": p80, "tokens_per_s": 1e3 / p50,
           "bytes": read, "gb_per_s": read / p50 / 1e6, "compile_s": seconds,
           "difference_from_eager": difference}
    note(f"{row['model']:16} {p20:.3f} {p50:.3f} {p80:.3f} ms a token, {1e3 / p50:.0f} tokens/s, "
         f"{row['gb_per_s']:.0f} GB/s, compiled in {seconds:.0f} s, {difference:.1e} from eager")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", default="1,4", help="of the naive SwiMGLUs")
    parser.add_argument("--replays", type=int, default=100)
    parser.add_argument("--skip-swiglu", action="store_true")
    parser.add_argument("--skip-naive", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    counts = [] if options.skip_swiglu else [0]
    counts += [] if options.skip_naive else map(int, options.masks.split(","))
    with contextlib.redirect_stdout(sys.stderr):
        found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                 "read_gb_per_s": read_bandwidth(),
                 "results": [decode(masks, options) for masks in counts]}
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
