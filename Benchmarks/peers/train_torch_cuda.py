#!/usr/bin/env python3
"""Training by compiled PyTorch on a CUDA GPU: the peer of Benchmarks/train_cuda.

    train_torch_cuda.py [--masks 0,1,4,8] [--steps 20] [--naive] [--json]

The paper's small model (arXiv 2506.23225, appendix A) with GPT-2's vocabulary and tied embeddings, 16
windows of 1024 tokens a step: torch.compile, BF16 autocast, SDPA, clipping, fused AdamW over float32
weights. masks = 0 is SwiGLU; SwiMGLU is one wide product over [M_1 W; ...; M_n W; W], the fastest
form known, or with --naive the 2 n_m products of the paper's listing.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from cuda_timing import DEVICE, note

LAYERS, HIDDEN, WIDTH, HEADS, KV_HEADS, VOCABULARY = 12, 768, 3072, 24, 6, 50257
BATCH, CONTEXT, THETA = 16, 1024, 10_000.0
SIZE = HIDDEN // HEADS


class FeedForward(nn.Module):
    def __init__(self, masks, naive):
        super().__init__()
        self.masks, self.naive = masks, naive
        rows = WIDTH if masks else 2 * WIDTH
        self.weight = nn.Parameter(torch.randn(rows, HIDDEN) * 0.02)
        if masks:
            self.logits = nn.Parameter(torch.randn(masks, WIDTH, HIDDEN) * 0.01)
        self.down = nn.Linear(WIDTH, HIDDEN, bias=False)

    def forward(self, x):
        if not self.masks:
            gate, value = F.linear(x, self.weight.to(x.dtype)).chunk(2, -1)
            return self.down(F.silu(gate) * value)
        hard = (self.logits > 0).to(self.weight.dtype)
        hard = (hard - self.logits).detach() + self.logits
        if self.naive:
            total = 0
            for mask in hard:
                gate = F.linear(x, (self.weight * mask).to(x.dtype))
                value = F.linear(x, (self.weight * (1 - mask)).to(x.dtype))
                total = total + F.silu(gate) * value
            return self.down(total)
        stack = torch.cat([(self.weight * hard).reshape(-1, HIDDEN), self.weight])
        streams = F.linear(x, stack.to(x.dtype)).unflatten(-1, (self.masks + 1, WIDTH))
        gates, whole = streams[..., :-1, :], streams[..., -1:, :]
        return self.down((F.silu(gates) * (whole - gates)).sum(-2))


def rotate(x, cosine, sine):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


class Block(nn.Module):
    def __init__(self, masks, naive):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(HIDDEN), nn.RMSNorm(HIDDEN)
        self.qkv = nn.Linear(HIDDEN, HIDDEN + 2 * KV_HEADS * SIZE, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.unit = FeedForward(masks, naive)

    def forward(self, x, cosine, sine):
        batch = x.shape[0]
        parts = self.qkv(self.norm1(x)).split([HIDDEN, KV_HEADS * SIZE, KV_HEADS * SIZE], -1)
        q, k, v = (part.view(batch, CONTEXT, -1, SIZE).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(
            rotate(q, cosine, sine), rotate(k, cosine, sine), v, is_causal=True, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, CONTEXT, HIDDEN))
        return x + self.unit(self.norm2(x))


class Model(nn.Module):
    def __init__(self, masks, naive):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(masks, naive) for _ in range(LAYERS))
        self.norm = nn.RMSNorm(HIDDEN)
        angles = torch.outer(
            torch.arange(CONTEXT).float(), THETA ** (-torch.arange(0, SIZE, 2) / SIZE))
        self.register_buffer("cosine", angles.cos().bfloat16())
        self.register_buffer("sine", angles.sin().bfloat16())

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def step_seconds(model, steps, device):
    """The median time of a step of BATCH windows, after five that warm up."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    compiled = torch.compile(model)
    tokens = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1), device=device)
    times = []
    for step in range(steps + 5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss = compiled(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        if step >= 5:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(masks, naive, steps):
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.cuda.reset_peak_memory_stats()
    seconds = step_seconds(Model(masks, naive).to(DEVICE), steps, DEVICE)
    return {"masks": masks, "form": "naive" if naive and masks else "wide" if masks else "GLU",
            "tokens_per_s": BATCH * CONTEXT / seconds, "milliseconds": seconds * 1e3,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", default="0,1,4,8")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for masks in map(int, options.masks.split(",")):
        rows.append(measure(masks, options.naive, options.steps))
        note(f"{rows[-1]['form']}, masks {masks}: {rows[-1]['tokens_per_s']:,.0f} tokens/s, "
             f"peak {rows[-1]['peak_gib']:.1f} GiB")
    document = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                "results": rows}
    if options.json:
        print(json.dumps(document))


if __name__ == "__main__":
    main()
