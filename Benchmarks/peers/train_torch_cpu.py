#!/usr/bin/env python3
"""The nano model in eager PyTorch on the CPU: the peer that `make bench` compares with.

    train_torch_cpu.py --data input.txt --ffn swiglu --steps 200 --threads 2

Prints one JSON line. Same shape, data split, optimiser and schedule as `mglu train --preset nano`;
the masked unit is written as its equation reads, with 2 n_m products.
"""
import argparse
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

HIDDEN, WIDTH, LAYERS, HEADS, CONTEXT, BATCH, VOCABULARY = 128, 512, 4, 4, 64, 12, 257


class FeedForward(nn.Module):
    def __init__(self, kind, masks):
        super().__init__()
        self.kind = kind
        rows = 2 * WIDTH if kind == "swiglu" else WIDTH
        self.up = nn.Linear(HIDDEN, rows, bias=False)
        self.down = nn.Linear(WIDTH, HIDDEN, bias=False)
        if kind == "swimglu":
            self.logits = nn.Parameter(0.01 * torch.randn(masks, WIDTH, HIDDEN))

    def forward(self, x):
        if self.kind == "gelu":
            return self.down(F.gelu(self.up(x)))
        if self.kind == "swiglu":
            gate, value = self.up(x).chunk(2, -1)
            return self.down(F.silu(gate) * value)
        # The step function forward, the identity backward.
        masks = (self.logits > 0).float() + self.logits - self.logits.detach()
        weight = self.up.weight
        return self.down(sum(
            F.silu(F.linear(x, mask * weight)) * F.linear(x, (1 - mask) * weight)
            for mask in masks))


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Block(nn.Module):
    def __init__(self, kind, masks):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(), RMSNorm()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.feed_forward = FeedForward(kind, masks)

    def forward(self, x, rotary, causal):
        batch, length, _ = x.shape
        q, k, v = (
            part.view(batch, length, HEADS, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, -1))
        scores = rotate(q, rotary) @ rotate(k, rotary).transpose(-1, -2)
        weights = (scores / math.sqrt(HIDDEN // HEADS) + causal).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, HIDDEN))
        return x + self.feed_forward(self.norm2(x))


def rotate(x, rotary):
    cosine, sine = rotary
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


class Decoder(nn.Module):
    def __init__(self, kind, masks):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(kind, masks) for _ in range(LAYERS))
        self.norm = RMSNorm()
        size = HIDDEN // HEADS
        angles = torch.outer(
            torch.arange(CONTEXT).float(), 1e4 ** (-torch.arange(0, size, 2).float() / size))
        self.rotary = angles.cos(), angles.sin()
        self.causal = torch.full((CONTEXT, CONTEXT), -1e9).triu(1)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.rotary, self.causal)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--ffn", choices=["gelu", "swiglu", "swimglu"], required=True)
    parser.add_argument("--masks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with open(options.data, "rb") as file:
        text = torch.tensor(list(file.read()))
    boundary = len(text) - len(text) // 10
    training, validation = text[:boundary], text[boundary:]
    model = Decoder(options.ffn, options.masks)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    start = time.perf_counter()
    for step in range(options.steps):
        progress = max(0, step - 100) / max(1, options.steps - 100)
        rate = (1e-3 * (step + 1) / 100 if step < 100
                else 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        first = torch.randint(len(training) - CONTEXT, (BATCH,))
        tokens = torch.stack([training[i:i + CONTEXT] for i in first])
        targets = torch.stack([training[i + 1:i + CONTEXT + 1] for i in first])
        loss = model(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        windows = (len(validation) - 1) // CONTEXT
        tokens = validation[:windows * CONTEXT].view(windows, CONTEXT)
        targets = validation[1:windows * CONTEXT + 1].view(windows, CONTEXT)
        losses = [model(tokens[i:i + 64], targets[i:i + 64]).item() * len(tokens[i:i + 64])
                  for i in range(0, windows, 64)]
    print(json.dumps({
        "peer": "eager PyTorch " + torch.__version__, "ffn": options.ffn,
        "masks": options.masks if options.ffn == "swimglu" else 0, "steps": options.steps,
        "threads": options.threads, "seconds": seconds,
        "tokens_per_second": options.steps * BATCH * CONTEXT / seconds,
        "validation_loss": sum(losses) / windows}))


if __name__ == "__main__":
    main()
