"""A GPT of a text's bytes in 60 lines, with `mglu.nn.MGLU` in place of its MLP's first layer:
python nano_gpt.py TEXT [masks [steps]]; 0 masks train a SwiGLU."""

import sys

import torch
from torch import nn
from torch.nn import functional as F

import mglu

TEXT, MASKS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4
STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 300
WIDTH, HEADS, LAYERS, LENGTH, BATCH = 128, 4, 4, 128, 16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH) for _ in range(2))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        unit = mglu.nn.MGLU(WIDTH, 512, MASKS) if MASKS else mglu.nn.GLU(WIDTH, 512)
        self.mlp = nn.Sequential(unit, nn.Linear(512, WIDTH, bias=False))

    def forward(self, x):
        n, length, _ = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(n, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(n, length, WIDTH))
        return x + self.mlp(self.norms[1](x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(256, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


data = torch.tensor(list(open(TEXT, "rb").read()), dtype=torch.uint8)
model = GPT().to(DEVICE)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
for step in range(STEPS + 1):
    starts = torch.randint(len(data) - LENGTH - 1, (BATCH,))
    rows = torch.stack([data[s : s + LENGTH + 1] for s in starts]).long().to(DEVICE)
    with torch.autocast("cuda", torch.bfloat16, enabled=DEVICE == "cuda"):
        loss = model(rows[:, :-1], rows[:, 1:])
    if step % max(1, STEPS // 6) == 0:
        print(f"step {step}: loss {loss.item():.3f}", flush=True)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
