"""The units in plain torch: for any type, device and order of derivatives, and to compare with.

    MGLU        a = sum_i p_i g(x (M_i W)^T) * (x ((1 - M_i) W)^T),   M_i = 1 where L_i > 0
    GLU         a = g(x Wg^T) * (x Wv^T)
    shared GLU  a = g(x W^T) * (x W^T)
    LU          a = g(x W^T)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .units import Unit

_FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "identity": lambda x: x,
}


class _StraightThrough(torch.autograd.Function):
    """1 where a logit is positive, else 0; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, logits):
        return (logits > 0).to(logits.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def mask_values(logits: Tensor) -> Tensor:
    """M, 1 where a logit is positive, of the logits' shape and type; straight-through."""
    return _StraightThrough.apply(logits)


def stack(weight: Tensor, masks: Tensor) -> Tensor:
    """[M_1 W; ...; M_m W; W], [(m + 1) d, h], of W [d, h] and mask values [m, d, h]."""
    return torch.cat([(masks.to(weight.dtype) * weight).flatten(0, 1), weight])


def combine(streams: Tensor, unit: Unit, routes: Tensor | None = None) -> Tensor:
    """a [..., d] of streams [..., streams d] and routes [..., m] or None."""
    g = _FUNCTIONS[unit.activation]
    if unit.kind == "lu":
        return g(streams)
    if unit.kind == "shared_glu":
        return g(streams) * streams
    if unit.kind == "glu":
        gate, value = streams.chunk(2, -1)
        return g(gate) * value
    parts = streams.unflatten(-1, (unit.masks + 1, -1))
    s, t = parts[..., :-1, :], parts[..., -1:, :]
    terms = g(t if unit.ablation == "no_gate_mask" else s) * (
        t if unit.ablation == "no_value_mask" else t - s)
    if routes is not None:
        terms = terms * routes.to(terms.dtype).unsqueeze(-1)
    return terms.sum(-2)


def route(logits: Tensor, top_k: int) -> Tensor:
    """Softmax over the K largest of each row, 0 elsewhere; of equal logits the lower index wins."""
    values, order = logits.sort(dim=-1, descending=True, stable=True)
    chosen = values[..., :top_k].softmax(-1)
    return torch.zeros_like(logits).scatter(-1, order[..., :top_k], chosen)


def apply(x: Tensor, weight: Tensor, unit: Unit, mask_logits: Tensor | None = None,
          routes: Tensor | None = None) -> Tensor:
    """a [..., d] of x [..., h], weight [planes d, h] and mask logits [m, d, h]."""
    if unit.kind == "mglu":
        weight = stack(weight, mask_values(mask_logits))
    return combine(F.linear(x, weight.to(x.dtype)), unit, routes)


def unpack_bits(bits: Tensor, columns: int) -> Tensor:
    """uint8 [n, d, ceil(h / 8)], least significant bit first, to booleans [n, d, h]."""
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return bits.unsqueeze(-1).bitwise_right_shift(shifts).bitwise_and(1).flatten(-2)[
        ..., :columns].bool()


def pack_bits(masks: Tensor) -> Tensor:
    """Booleans [n, d, h] to uint8 [n, d, ceil(h / 8)], least significant bit first."""
    padded = F.pad(masks.to(torch.uint8), (0, -masks.shape[-1] % 8)).unflatten(-1, (-1, 8))
    shifts = torch.arange(8, dtype=torch.uint8, device=masks.device)
    return padded.bitwise_left_shift(shifts).sum(-1, dtype=torch.uint8)
