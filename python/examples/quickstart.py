"""A masked unit in PyTorch: train it, pack it, run it. Prints what python/README.md shows."""

import torch
from torch import nn

import mglu

torch.manual_seed(0)
torch.set_num_threads(1)
mglu.set_num_threads(1)

# A layer makes a [..., 512] of x [..., 128]: a feed-forward block needs a down projection behind it.
layer = mglu.nn.MGLU(128, 512, masks=4)
block = nn.Sequential(layer, nn.Linear(512, 128, bias=False))
print(block)

# It trains as any module: weights and mask logits get gradients.
x, target = torch.randn(256, 128), torch.randn(256, 128)
optimizer = torch.optim.AdamW(block.parameters(), lr=2e-3)
for step in range(101):
    loss = (block(x) - target).square().mean()
    if step % 50 == 0:
        print(f"step {step}: loss {loss:.3f}")
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

# For inference: 16-bit or INT8 weights and a bit for each mask, read in one pass.
with torch.inference_mode():
    exact = layer(x[:1])
    for dtype in (torch.bfloat16, torch.int8):
        flash = mglu.nn.FlashMGLU.from_module(layer, dtype)
        error = (flash(x[:1]) - exact).abs().max() / exact.abs().max()
        size = sum(t.nbytes for t in flash.state_dict().values())
        print(f"{dtype}: {size} bytes, largest error {error:.4f} of the largest element")
