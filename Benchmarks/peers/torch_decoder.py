"""A decoder in PyTorch, the peer of the CUDA benchmarks of models.

The paper's large model (arXiv 2506.23225, appendix A) with GPT-2's vocabulary, tied embeddings and a
quarter of the heads for keys and values, in FP16. The cache is static: [batch, heads, context, size].
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from cuda_timing import DEVICE, glu, naive_mglu

LAYERS, HIDDEN, WIDTH, HEADS, KV_HEADS, VOCABULARY = 16, 2048, 8192, 32, 8, 50257
SIZE, THETA = HIDDEN // HEADS, 10_000.0


def rotate(x, rotary):
    cosine, sine = rotary
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


def rotations(positions):
    """Cosine and sine [positions, SIZE / 2] of a range of positions."""
    powers = THETA ** (-torch.arange(0, SIZE, 2, dtype=torch.float32) / SIZE)
    angles = torch.tensor(list(positions), dtype=torch.float32)[:, None] * powers
    return tuple(part.to(DEVICE, torch.float16) for part in (angles.cos(), angles.sin()))


class Block(nn.Module):
    """A layer, its cache with it; masks = 0 is SwiGLU."""

    def __init__(self, masks, batch, context):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(HIDDEN), nn.RMSNorm(HIDDEN)
        self.qkv = nn.Linear(HIDDEN, HIDDEN + 2 * KV_HEADS * SIZE, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.up = nn.Linear(HIDDEN, WIDTH if masks else 2 * WIDTH, bias=False)
        self.down = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.masks = masks
        for index in range(masks):
            mask = torch.randint(2, (WIDTH, HIDDEN), dtype=torch.uint8).bool()
            self.register_buffer(f"mask{index}", mask)
        self.register_buffer("keys", torch.zeros(batch, KV_HEADS, context, SIZE))
        self.register_buffer("values", torch.zeros(batch, KV_HEADS, context, SIZE))

    def feed_forward(self, x):
        if self.masks == 0:
            return self.down(glu(x, self.up.weight))
        masks = [getattr(self, f"mask{index}") for index in range(self.masks)]
        return self.down(naive_mglu(x, self.up.weight, masks))

    def forward(self, x, positions, rotary, visible):
        """x [batch, n, HIDDEN] at `positions`; `visible` says what of the cache a single row sees,
        without it the rows are a prompt and see themselves."""
        batch, count, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).split([HIDDEN, KV_HEADS * SIZE, KV_HEADS * SIZE], -1)
        q, k, v = (part.view(batch, count, -1, SIZE).transpose(1, 2) for part in (q, k, v))
        k = rotate(k, rotary)
        self.keys.index_copy_(2, positions, k)
        self.values.index_copy_(2, positions, v)
        if visible is None:
            attended = F.scaled_dot_product_attention(
                rotate(q, rotary), k, v, is_causal=True, enable_gqa=True)
        else:
            attended = F.scaled_dot_product_attention(
                rotate(q, rotary), self.keys, self.values, attn_mask=visible, enable_gqa=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, count, HIDDEN))
        return x + self.feed_forward(self.norm2(x))


class Decoder(nn.Module):
    """The logits of the last row of each sequence."""

    def __init__(self, masks, batch=1, context=1024):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.blocks = nn.ModuleList(Block(masks, batch, context) for _ in range(LAYERS))
        self.norm = nn.RMSNorm(HIDDEN)

    def forward(self, tokens, positions, rotary, visible):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, positions, rotary, visible)
        return self.head(x[:, -1:])

    def head(self, x):
        return F.linear(self.norm(x), self.embedding.weight)


def decoder(masks, batch=1, context=1024):
    """A decoder with random weights on the GPU."""
    torch.set_default_dtype(torch.float16)
    with torch.device(DEVICE):
        model = Decoder(masks, batch, context).eval()
    torch.set_default_dtype(torch.float32)
    return model


def decode_inputs(batch, position, context):
    """A token of each sequence, its position, the rotation of it, and which of the cache it sees."""
    visible = (torch.arange(context, device=DEVICE) <= position)[None, None, None]
    return (torch.zeros(batch, 1, dtype=torch.long, device=DEVICE),
            torch.tensor([position], device=DEVICE), rotations([position]), visible)


def prompt_inputs(count):
    """The tokens of one prompt, from position 0 on."""
    return (torch.randint(VOCABULARY, (1, count), device=DEVICE),
            torch.arange(count, device=DEVICE), rotations(range(count)), None)
