#!/usr/bin/env python3
"""Decoding by compiled PyTorch on a CUDA GPU: the peer of Benchmarks/decode_cuda.

    decode_torch_cuda.py [--masks 1,4] [--skip-swiglu] [--skip-naive] [--json]

The paper's large model (arXiv 2506.23225, appendix A) with GPT-2's vocabulary, tied embeddings and
a quarter of the heads for keys and values; random FP16 weights, batch 1. A token is written at
position 512 into a static cache of 1024, up to its logits. torch.compile with max-autotune,
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
import torch.nn as nn
import torch.nn.functional as F

from cuda_timing import (
    DEVICE, glu, graph_times, naive_mglu, note, quantiles, read_bandwidth)

LAYERS, HIDDEN, WIDTH, HEADS, KV_HEADS, VOCABULARY = 16, 2048, 8192, 32, 8, 50257
CONTEXT, POSITION, THETA = 1024, 512, 10_000.0
MODE = "max-autotune-no-cudagraphs"


def rotate(x, rotary):
    cosine, sine = rotary
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


class Block(nn.Module):
    """A layer, its cache with it; masks = 0 is SwiGLU."""

    def __init__(self, masks):
        super().__init__()
        size = HIDDEN // HEADS
        self.norm1, self.norm2 = nn.RMSNorm(HIDDEN), nn.RMSNorm(HIDDEN)
        self.qkv = nn.Linear(HIDDEN, HIDDEN + 2 * KV_HEADS * size, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.up = nn.Linear(HIDDEN, WIDTH if masks else 2 * WIDTH, bias=False)
        self.down = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.masks = masks
        for index in range(masks):
            mask = torch.randint(2, (WIDTH, HIDDEN), dtype=torch.uint8).bool()
            self.register_buffer(f"mask{index}", mask)
        self.register_buffer("keys", torch.zeros(1, KV_HEADS, CONTEXT, size))
        self.register_buffer("values", torch.zeros(1, KV_HEADS, CONTEXT, size))

    def feed_forward(self, x):
        if self.masks == 0:
            return self.down(glu(x, self.up.weight))
        masks = [getattr(self, f"mask{index}") for index in range(self.masks)]
        return self.down(naive_mglu(x, self.up.weight, masks))

    def forward(self, x, position, rotary, visible):
        size = HIDDEN // HEADS
        q, k, v = self.qkv(self.norm1(x)).split([HIDDEN, KV_HEADS * size, KV_HEADS * size], -1)
        q, k, v = (part.view(1, 1, -1, size).transpose(1, 2) for part in (q, k, v))
        self.keys.index_copy_(2, position, rotate(k, rotary))
        self.values.index_copy_(2, position, v)
        attended = F.scaled_dot_product_attention(
            rotate(q, rotary), self.keys, self.values, attn_mask=visible, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).reshape(1, 1, HIDDEN))
        return x + self.feed_forward(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, masks):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.blocks = nn.ModuleList(Block(masks) for _ in range(LAYERS))
        self.norm = nn.RMSNorm(HIDDEN)

    def forward(self, token, position, rotary, visible):
        x = self.embedding(token)
        for block in self.blocks:
            x = block(x, position, rotary, visible)
        return self.head(x)

    def head(self, x):
        return F.linear(self.norm(x), self.embedding.weight)


def inputs():
    """A token, its position, the rotation of that position, and which of the cache it sees."""
    size = HIDDEN // HEADS
    angles = POSITION * THETA ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    rotary = tuple(part.to(DEVICE, torch.float16) for part in (angles.cos(), angles.sin()))
    visible = (torch.arange(CONTEXT, device=DEVICE) <= POSITION)[None, None, None]
    return (torch.zeros(1, 1, dtype=torch.long, device=DEVICE),
            torch.tensor([POSITION], device=DEVICE), rotary, visible)


def decode(masks, options):
    """A row: the time of a token."""
    torch._dynamo.reset()
    torch.set_default_dtype(torch.float16)
    with torch.device(DEVICE):
        model = Decoder(masks).eval()
    torch.set_default_dtype(torch.float32)
    arguments = inputs()
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
