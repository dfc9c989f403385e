#!/usr/bin/env python3
"""Prompts and decode steps of many sequences by compiled PyTorch: the peer of Benchmarks/throughput_cuda.

    throughput_torch_cuda.py [--batch 8,32,64,256] [--prompt 512,2048,8192] [--json]

The SwiGLU of torch_decoder.py with random weights. A step writes a token of each sequence at position
512 of a static cache of 640 positions; a prompt is read from position 0, up to the logits of its last
token. torch.compile with max-autotune, captured in a CUDA graph; each replay is timed.
"""
import argparse
import contextlib
import json
import sys
import time

import torch

from cuda_timing import graph_times, note, quantiles
from torch_decoder import decode_inputs, decoder, prompt_inputs

POSITION, CONTEXT = 512, 640
MODE = "max-autotune-no-cudagraphs"


def measure(test, batch, tokens, model, arguments, options):
    """A row: the time of a call that reads or writes `tokens` tokens."""
    torch._dynamo.reset()
    start = time.perf_counter()
    step = torch.compile(model, mode=options.mode, dynamic=False, fullgraph=True)
    step(*arguments)
    seconds = time.perf_counter() - start
    p20, p50, p80 = (value / 1e3 for value in quantiles(
        graph_times([lambda: step(*arguments)], options.replays)))
    note(f"{test:8} batch {batch:4} {p20:.3f} {p50:.3f} {p80:.3f} ms, {1e3 * tokens / p50:,.0f} "
         f"tokens/s, compiled in {seconds:.0f} s")
    return {"model": "SwiGLU", "weights": "fp16", "test": test, "batch": batch, "p20_ms": p20,
            "p50_ms": p50, "p80_ms": p80, "tokens_per_s": 1e3 * tokens / p50, "compile_s": seconds}


def numbers(text):
    return [int(part) for part in text.split(",") if part]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=numbers, default=numbers("8,32,64,256"))
    parser.add_argument("--prompt", type=numbers, default=numbers("512,2048,8192"))
    parser.add_argument("--mode", default=MODE, help="of torch.compile")
    parser.add_argument("--replays", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    rows = []
    with contextlib.redirect_stdout(sys.stderr):
        for batch in options.batch:
            model = decoder(0, batch, CONTEXT)
            rows.append(measure(f"tg@{POSITION}", batch, batch, model,
                                decode_inputs(batch, POSITION, CONTEXT), options))
            del model
        for count in options.prompt:
            model = decoder(0, 1, count)
            rows.append(measure(f"pp{count}", 1, count, model, prompt_inputs(count), options))
            del model
    if options.json:
        print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                          "results": rows}))


if __name__ == "__main__":
    main()
