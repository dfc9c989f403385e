#!/usr/bin/env python3
"""Training by PyTorch's DistributedDataParallel: the peer of Benchmarks/train_scaling.

    torchrun --standalone --nproc-per-node 2 train_torch_ddp.py [--size small|large] [--masks 0,4]
      [--steps 20] [--json]

The model of train_torch_cuda.py in the paper's small or large shape, a batch for each GPU: torch.compile,
BF16 autocast, gradients averaged while the backward pass runs, clipping, fused AdamW on every GPU.
"""
import argparse
import json
import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import train_torch_cuda as peer

SHAPES = {"small": dict(LAYERS=12, HIDDEN=768, WIDTH=3072, HEADS=24, KV_HEADS=6, BATCH=16, CONTEXT=1024),
          "large": dict(LAYERS=16, HIDDEN=2048, WIDTH=8192, HEADS=32, KV_HEADS=8, BATCH=4, CONTEXT=2048)}


def measure(masks, steps, device):
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.cuda.reset_peak_memory_stats()
    model = DistributedDataParallel(
        peer.Model(masks, False).to(device), device_ids=[device.index], gradient_as_bucket_view=True)
    seconds = peer.step_seconds(model, steps, device)
    return {"masks": masks, "gpus": dist.get_world_size(),
            "tokens_per_s": dist.get_world_size() * peer.BATCH * peer.CONTEXT / seconds,
            "milliseconds": seconds * 1e3, "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--masks", default="0,4")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name, value in SHAPES[options.size].items():
        setattr(peer, name, value)
    peer.SIZE = peer.HIDDEN // peer.HEADS
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    rows = [measure(int(masks), options.steps, device) for masks in options.masks.split(",")]
    if dist.get_rank() == 0:
        for row in rows:
            peer.note(f"DDP, {row['gpus']} GPUs, masks {row['masks']}: "
                      f"{row['tokens_per_s']:,.0f} tokens/s, peak {row['peak_gib']:.1f} GiB")
        if options.json:
            print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                              "size": options.size, "results": rows}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
