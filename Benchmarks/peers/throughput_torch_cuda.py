#!/usr/bin/env python3
"""Prompts and steps of many sequences in compiled PyTorch: the peer of Benchmarks/throughput_cuda.

    throughput_torch_cuda.py [--prompts 128,512] [--batches 1,8,32] [--position 512] [--json]

The paper's large model under SwiGLU (decode_torch_cuda.py), random FP16 weights. A prompt goes through
causal attention (SDPA) and ends with the logits of its last token; a step writes a token of each sequence
at --position into a cache that ends there, so that attention needs no mask. Blocks are compiled for each
shape and captured in one CUDA graph; replays follow each other, and each is timed.
"""
import argparse
import contextlib
import json
import sys

import torch
import torch.nn.functional as F

import decode_torch_cuda as single
from cuda_timing import DEVICE, graph_times, note, quantiles, read_bandwidth

SIZE = single.HIDDEN // single.HEADS


def heads(block, x, rotary):
    """Rotated queries and keys, and values, [batch, heads, rows, size]."""
    rows = single.KV_HEADS * SIZE
    q, k, v = block.qkv(block.norm1(x)).split([single.HIDDEN, rows, rows], -1)
    q, k, v = (part.unflatten(-1, (-1, SIZE)).transpose(1, 2) for part in (q, k, v))
    return single.rotate(q, rotary), single.rotate(k, rotary), v


def rest(block, x, attended):
    x = x + block.out(attended.transpose(1, 2).flatten(2))
    return x + block.feed_forward(block.norm2(x))


def read(block, x, rotary):
    q, k, v = heads(block, x, rotary)
    return rest(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))


def step(block, x, rotary, keys, values):
    q, k, v = heads(block, x, rotary)
    keys[:, :, -1:] = k
    values[:, :, -1:] = v
    return rest(block, x, F.scaled_dot_product_attention(q, keys, values, enable_gqa=True))


def rotary(first, count):
    positions = torch.arange(first, first + count, dtype=torch.float32)[:, None]
    angles = positions * single.THETA ** (-torch.arange(0, SIZE, 2, dtype=torch.float32) / SIZE)
    return tuple(part.to(DEVICE, torch.float16) for part in (angles.cos(), angles.sin()))


def measure(model, test, batch, count, tokens, layers, options):
    """A row of the time of a pass, which takes `tokens` tokens; `layers` has a function for each block."""
    ids = torch.zeros(batch, count, dtype=torch.long, device=DEVICE)
    head = torch.compile(model.head, dynamic=False)

    def run():
        x = model.embedding(ids)
        for layer in layers:
            x = layer(x)
        return head(x[:, -1:])

    p20, p50, p80 = (value / 1e3 for value in quantiles(graph_times([run], options.replays)))
    note(f"{test:8} x {batch:3} {p20:.3f} {p50:.3f} {p80:.3f} ms, {1e3 * tokens / p50:.0f} tokens/s")
    return {"model": "SwiGLU", "weights": "fp16", "test": test, "batch": batch, "p20_ms": p20,
            "p50_ms": p50, "p80_ms": p80, "tokens_per_s": 1e3 * tokens / p50}


def prompt(model, count, options):
    torch._dynamo.reset()
    compiled, turns = torch.compile(read, dynamic=False), rotary(0, count)
    layers = [lambda x, block=block: compiled(block, x, turns) for block in model.blocks]
    return measure(model, f"pp{count}", 1, count, count, layers, options)


def decode(model, batch, options):
    torch._dynamo.reset()
    compiled, turns = torch.compile(step, dynamic=False), rotary(options.position, 1)
    shape = (batch, single.KV_HEADS, options.position + 1, SIZE)
    caches = [[torch.zeros(shape, dtype=torch.float16, device=DEVICE) for _ in range(2)]
              for _ in model.blocks]
    layers = [lambda x, block=block, cache=cache: compiled(block, x, turns, *cache)
              for block, cache in zip(model.blocks, caches)]
    return measure(model, f"tg@{options.position}", batch, 1, batch, layers, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", default="128,512,2048,8192")
    parser.add_argument("--batches", default="1,8,32,64,128,256")
    parser.add_argument("--position", type=int, default=512)
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float16)
    with torch.device(DEVICE):
        model = single.Decoder(0).eval()
    torch.set_default_dtype(torch.float32)
    with contextlib.redirect_stdout(sys.stderr):
        rows = [prompt(model, int(count), options) for count in options.prompts.split(",")]
        rows += [decode(model, int(batch), options) for batch in options.batches.split(",")]
        found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                 "read_gb_per_s": read_bandwidth(), "results": rows}
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
