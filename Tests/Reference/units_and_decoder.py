"""Frozen float64 vectors from PyTorch autograd, for the tests of the reference and the layers.

Run it from anywhere with a PyTorch of 1.13 or later, on the CPU; no other package is needed:

    python3 Tests/Reference/units_and_decoder.py

It rewrites Tests/Reference/vectors/*.safetensors. Inputs come from fixed seeds, so that a run
with the same PyTorch gives the same bytes. Masks follow the paper: M = 1 where the logit is above
0, and the straight-through estimator hands the gradient of M to the logit unchanged; here M is
therefore a leaf that holds ones and zeros, and `masks` gradients are autograd's own.
"""

import json
import math
import pathlib
import struct
from array import array

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
VECTORS = pathlib.Path(__file__).resolve().parent / "vectors"
EPSILON = 2.0**-17  # exact in float32 too
THETA = 10_000.0

ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "identity": lambda x: x,
}


def save(name, tensors):
    """Writes a safetensors file: u64 header length, JSON header, little-endian float64 data."""
    header, data = {}, b""
    for key, tensor in tensors.items():
        values = array("d", tensor.detach().flatten().tolist()).tobytes()
        header[key] = {
            "dtype": "F64",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(values)],
        }
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (VECTORS / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def normal(generator, *shape, scale=1.0):
    return torch.randn(*shape, generator=generator) * scale


def leaf(tensor):
    return tensor.detach().clone().requires_grad_()


# Units ------------------------------------------------------------------------------------------


def routes(r, k):
    """Softmax over the k largest of each row, 0 elsewhere; of equal logits the lower index wins."""
    kept = torch.zeros_like(r, dtype=torch.bool)
    for row, logits in enumerate(r.tolist()):
        order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
        kept[row, order[:k]] = True
    return torch.softmax(r.masked_fill(~kept, -math.inf), dim=-1)


def masked_unit(g, x, w, masks, ablation=None, router=None, k=None):
    """sum_i p_i g(x (M_i W)^T) (x ((1 - M_i) W)^T), with 2 n_m products."""
    p = routes(x @ router.T, k) if router is not None else None
    total = 0
    for i, mask in enumerate(masks):
        gate = w if ablation == "no_gate_mask" else mask * w
        value = w if ablation == "no_value_mask" else (1 - mask) * w
        route = g(x @ gate.T) * (x @ value.T)
        total = total + (route if p is None else p[:, i : i + 1] * route)
    return total


def units():
    h, d, n, most = 13, 17, 7, 8
    generator = torch.Generator().manual_seed(20250623)
    inputs = {
        "input": normal(generator, n, h),
        "weight": normal(generator, d, h, scale=h**-0.5),
        "value_weight": normal(generator, d, h, scale=h**-0.5),
        "mask_logits": normal(generator, most, d, h, scale=0.01),
        "router": normal(generator, most, h, scale=h**-0.5),
        "upstream": normal(generator, n, d),
    }
    # Ties: every seventh logit is exactly 0, which is mask 0; routes 1 and 4 always draw.
    inputs["mask_logits"].view(-1)[::7] = 0
    inputs["router"][4] = inputs["router"][1]
    result = {f"in/{key}": value for key, value in inputs.items()}

    def case(name, forward, masks=0, router=0):
        x, w, wv = (leaf(inputs[k]) for k in ("input", "weight", "value_weight"))
        m = leaf((inputs["mask_logits"][:masks] > 0).double())
        wr = leaf(inputs["router"][:router])
        a = forward(x, w, wv, m, wr)
        a.backward(inputs["upstream"])
        result[f"{name}/output"] = a
        for key, tensor in [
            ("input", x), ("weight", w), ("value_weight", wv), ("masks", m), ("router", wr),
        ]:
            if tensor.grad is not None:
                result[f"{name}/{key}_gradient"] = tensor.grad

    for label, g in ACTIVATIONS.items():
        case(f"linear/{label}", lambda x, w, wv, m, wr: g(x @ w.T))
        case(f"gated/{label}", lambda x, w, wv, m, wr: g(x @ w.T) * (x @ wv.T))
        case(f"shared/{label}", lambda x, w, wv, m, wr: g(x @ w.T) * (x @ w.T))
        for count in (1, 2, 3) + ((8,) if label in ("silu", "gelu") else ()):
            case(f"masked_{count}/{label}", lambda x, w, wv, m, wr: masked_unit(g, x, w, m), count)
        for ablation in ("no_gate_mask", "no_value_mask"):
            case(
                f"masked_2_{ablation}/{label}",
                lambda x, w, wv, m, wr: masked_unit(g, x, w, m, ablation), 2,
            )
        for k in (1, 2, 3) if label == "silu" else (2,):
            case(
                f"masked_3_top{k}/{label}",
                lambda x, w, wv, m, wr: masked_unit(g, x, w, m, None, wr, k), 3, 3,
            )
    for k in (1, 4, 8):
        case(
            f"masked_8_top{k}/silu",
            lambda x, w, wv, m, wr: masked_unit(F.silu, x, w, m, None, wr, k), 8, 8,
        )
    save("units", result)


# Decoder ----------------------------------------------------------------------------------------


def rms_norm(x, weight):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON))


def rotate(x, positions, size):
    """Hugging Face's rotation of halves over [n, heads, size]."""
    frequencies = THETA ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(positions, frequencies)
    angles = torch.cat([angles, angles], dim=-1)[:, None, :]
    halves = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], dim=-1)
    return x * torch.cos(angles) + halves * torch.sin(angles)


def attention(q, k, v, heads, kv_heads, size):
    """Causal attention of one text over [n, heads size] with rotary positions from 0."""
    n = q.shape[0]
    positions = torch.arange(n, dtype=torch.float64)
    q = rotate(q.view(n, heads, size), positions, size).transpose(0, 1)
    k = rotate(k.view(n, kv_heads, size), positions, size).transpose(0, 1)
    v = v.view(n, kv_heads, size).transpose(0, 1)
    k, v = (t.repeat_interleave(heads // kv_heads, dim=0) for t in (k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(size)
    future = torch.ones(n, n, dtype=torch.bool).triu(1)
    p = torch.softmax(scores.masked_fill(future, -math.inf), dim=-1)
    return (p @ v).transpose(0, 1).reshape(n, heads * size)


def parts():
    """RMSNorm, rotary grouped-query attention and cross-entropy, each by itself."""
    generator = torch.Generator().manual_seed(11)
    result = {}

    def case(name, inputs, forward):
        leaves = {key: leaf(value) for key, value in inputs.items()}
        output = forward(**leaves)
        upstream = normal(generator, *output.shape)
        output.backward(upstream)
        result[f"{name}/output"] = output
        result[f"{name}/upstream"] = upstream
        for key, tensor in leaves.items():
            result[f"{name}/{key}"] = tensor
            result[f"{name}/{key}_gradient"] = tensor.grad

    case(
        "norm", {"x": normal(generator, 5, 13), "weight": 1 + normal(generator, 13, scale=0.2)},
        rms_norm,
    )
    for heads, kv_heads, size, n in [(1, 1, 2, 5), (6, 2, 6, 7), (2, 2, 16, 11), (3, 1, 64, 5)]:
        case(
            f"attention_{heads}_{kv_heads}_{size}_{n}",
            {
                "q": normal(generator, n, heads * size),
                "k": normal(generator, n, kv_heads * size),
                "v": normal(generator, n, kv_heads * size),
            },
            lambda q, k, v: attention(q, k, v, heads, kv_heads, size),
        )
    targets = [3, -1, 0, 10, -1, 7]
    logits = leaf(normal(generator, len(targets), 11, scale=3.0))
    ids = torch.tensor(targets)
    losses = F.cross_entropy(logits, ids, ignore_index=-1, reduction="none")
    losses.sum().backward()
    result.update({
        "loss/logits": logits, "loss/targets": ids.double(), "loss/losses": losses,
        "loss/logits_gradient": logits.grad,
    })
    save("parts", result)


def decoder(name, tied, masks=0, unit="masked", ablation=None, k=None, g=F.silu):
    """A decoder of two layers over two texts of five tokens."""
    v, h, d, heads, kv_heads, size, length, texts = 11, 7, 5, 4, 2, 6, 5, 2
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    p = {"model.embed_tokens.weight": normal(generator, v, h)}
    for index in range(2):
        at = f"model.layers.{index}."
        p[at + "input_layernorm.weight"] = 1 + normal(generator, h, scale=0.2)
        for key, rows in (("q", heads * size), ("k", kv_heads * size), ("v", kv_heads * size)):
            p[at + f"self_attn.{key}_proj.weight"] = normal(generator, rows, h, scale=h**-0.5)
        p[at + "self_attn.o_proj.weight"] = normal(generator, h, heads * size, scale=0.2)
        p[at + "post_attention_layernorm.weight"] = 1 + normal(generator, h, scale=0.2)
        if unit == "gated":
            p[at + "mlp.gate_proj.weight"] = normal(generator, d, h, scale=h**-0.5)
        p[at + "mlp.up_proj.weight"] = normal(generator, d, h, scale=h**-0.5)
        if unit == "masked":
            p[at + "mlp.mask_logits"] = normal(generator, masks, d, h, scale=0.01)
            p[at + "mlp.mask_logits"].view(-1)[::5] = 0
            if k is not None:
                p[at + "mlp.router.weight"] = normal(generator, masks, h, scale=h**-0.5)
        p[at + "mlp.down_proj.weight"] = normal(generator, h, d, scale=d**-0.5)
    p["model.norm.weight"] = 1 + normal(generator, h, scale=0.2)
    if not tied:
        p["lm_head.weight"] = normal(generator, v, h, scale=h**-0.5)
    tokens = torch.randint(0, v, (texts, length), generator=generator)
    targets = torch.randint(0, v, (texts, length), generator=generator)
    targets[0, 2] = -1
    stored = p
    p = {
        key: leaf((value > 0).double() if key.endswith("mask_logits") else value)
        for key, value in stored.items()
    }

    def feed_forward(x, at):
        up = p[at + "up_proj.weight"]
        if unit == "linear":
            a = g(x @ up.T)
        elif unit == "gated":
            a = g(x @ p[at + "gate_proj.weight"].T) * (x @ up.T)
        elif unit == "shared":
            a = g(x @ up.T) * (x @ up.T)
        else:
            a = masked_unit(
                g, x, up, p[at + "mask_logits"], ablation, p.get(at + "router.weight"), k
            )
        return a @ p[at + "down_proj.weight"].T

    def logits(text):
        x = p["model.embed_tokens.weight"][text]
        for index in range(2):
            at = f"model.layers.{index}."
            y = rms_norm(x, p[at + "input_layernorm.weight"])
            q, key, value = (y @ p[at + f"self_attn.{c}_proj.weight"].T for c in "qkv")
            x = x + attention(q, key, value, heads, kv_heads, size) @ (
                p[at + "self_attn.o_proj.weight"].T
            )
            x = x + feed_forward(rms_norm(x, p[at + "post_attention_layernorm.weight"]), at + "mlp.")
        x = rms_norm(x, p["model.norm.weight"])
        return x @ (p["model.embed_tokens.weight"] if tied else p["lm_head.weight"]).T

    z = torch.cat([logits(text) for text in tokens])
    losses = F.cross_entropy(z, targets.flatten(), ignore_index=-1, reduction="none")
    losses.sum().backward()
    result = {
        "tokens": tokens.flatten().double(), "targets": targets.flatten().double(),
        "logits": z, "losses": losses,
    }
    for key, value in stored.items():
        result[f"parameter/{key}"] = value
        result[f"gradient/{key}"] = p[key].grad
    save(f"decoder_{name}", result)


def decoders():
    decoder("linear_gelu_tied", True, unit="linear", g=F.gelu)
    decoder("gated_silu", False, unit="gated")
    decoder("shared_silu_tied", True, unit="shared")
    decoder("masked_2_silu_tied", True, masks=2)
    decoder("masked_3_gelu", False, masks=3, g=F.gelu)
    decoder("masked_2_no_gate_mask_tied", True, masks=2, ablation="no_gate_mask")
    decoder("masked_2_no_value_mask", False, masks=2, ablation="no_value_mask")
    decoder("masked_3_top2_tied", True, masks=3, k=2)


# Optimizer --------------------------------------------------------------------------------------


def adamw():
    """Three steps over a decayed matrix and an undecayed vector, clipped to global norm 1."""
    generator = torch.Generator().manual_seed(5)
    matrix = leaf(normal(generator, 5, 13, scale=0.1))
    norm = leaf(1 + normal(generator, 13, scale=0.1))
    optimizer = torch.optim.AdamW(
        [{"params": [matrix], "weight_decay": 0.1}, {"params": [norm], "weight_decay": 0.0}],
        lr=0.02, betas=(0.9, 0.99), eps=1e-8,
    )
    result = {"matrix/0": matrix.clone(), "norm/0": norm.clone()}
    for step in (1, 2, 3):
        # The second step's gradient stays below the clipping norm.
        scale = 0.01 if step == 2 else 1.0
        for key, tensor in (("matrix", matrix), ("norm", norm)):
            tensor.grad = normal(generator, *tensor.shape, scale=scale)
            result[f"{key}_gradient/{step}"] = tensor.grad.clone()
        total = torch.sqrt(matrix.grad.pow(2).sum() + norm.grad.pow(2).sum())
        for group in optimizer.param_groups:
            group["lr"] = 0.02 / step
        for tensor in (matrix, norm):
            tensor.grad.mul_(min(1.0, 1.0 / total.item()))
        optimizer.step()
        result.update({f"matrix/{step}": matrix.clone(), f"norm/{step}": norm.clone()})
    save("adamw", result)


if __name__ == "__main__":
    VECTORS.mkdir(exist_ok=True)
    units()
    parts()
    decoders()
    adamw()
    print(sum(file.stat().st_size for file in VECTORS.glob("*.safetensors")), "bytes")
