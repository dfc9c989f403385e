"""The units as functions of tensors.

With gradients: `mglu`, `glu`, `shared_glu`, `lu`. The product is torch's; what comes before and after it
is the library's where it has kernels: float32 on a CPU, bfloat16 activations on an NVIDIA GPU. Everything
else computes `mglu.reference`. Under autocast x takes autocast's type.

Without gradients: `flash`, over weights that `mglu.packed.pack` has packed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import ops, reference
from .packed import Packed
from .units import NARROW, Unit, unit as _unit

# From so many rows on the processor makes panels of weights for all of them, where it has matrix
# instructions.
PROMPT_ROWS = 16
# From so many rows on, and as many for each mask, a GPU's product with weights unpacked for it is faster than
# passes of up to 16 rows: unpacking 14336 x 4096 takes an H100 2.6 ms with 1 mask and 9.2 ms with 4, a row
# in a pass 4.7 and 6.8 us (2026-11-26).
DENSE_ROWS = 256


def _has_kernels(x: Tensor, weight: Tensor) -> bool:
    return (
        ops.supports(x.device) and weight.device == x.device and x.numel() > 0
        and x.dtype == ops.product_type(x.device)
        and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)
    )


class _Combine(torch.autograd.Function):
    """a [..., d] of streams [..., streams d] and routes [..., m], empty without."""

    @staticmethod
    def forward(ctx, streams, routes, kind, masks, activation):
        streams, routes = streams.contiguous(), routes.contiguous()
        ctx.save_for_backward(streams, routes)
        ctx.numbers = (kind, masks, activation)
        return ops.combine(streams, routes, kind, masks, activation)

    @staticmethod
    def backward(ctx, gradient):
        streams, routes = ctx.saved_tensors
        streams_gradient, routes_gradient = ops.combine_backward(
            gradient.contiguous(), streams, routes, *ctx.numbers)
        return streams_gradient, routes_gradient, None, None, None


class _Masked(torch.autograd.Function):
    """The whole MGLU: it keeps x, W, L and the streams, and stacks W again in the backward pass."""

    @staticmethod
    def forward(ctx, x, weight, logits, routes, kind, masks, activation):
        # [n, h]
        rows, routes = x.reshape(-1, x.shape[-1]), routes.contiguous()
        streams = F.linear(rows, _stacked(weight, logits))
        ctx.save_for_backward(rows, weight, logits, routes, streams)
        ctx.numbers, ctx.shape = (kind, masks, activation), x.shape
        a = ops.combine(streams, routes, kind, masks, activation)
        return a.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx, gradient):
        rows, weight, logits, routes, streams = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1]).contiguous()
        streams_gradient, routes_gradient = ops.combine_backward(
            gradient, streams, routes, *ctx.numbers)
        x_gradient = weight_gradient = logits_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = (streams_gradient @ _stacked(weight, logits)).view(ctx.shape)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            stack_gradient = (streams_gradient.t() @ rows).float()
            weight_gradient, logits_gradient = ops.unstack(
                stack_gradient, weight.float().contiguous(), logits.float().contiguous())
            weight_gradient = weight_gradient.to(weight.dtype)
            logits_gradient = logits_gradient.to(logits.dtype)
        return x_gradient, weight_gradient, logits_gradient, routes_gradient, None, None, None


def _stacked(weight: Tensor, logits: Tensor) -> Tensor:
    """[(m + 1) d, h] of the library's type."""
    return ops.stack(weight.float().contiguous(), logits.float().contiguous())


def _autocast(x: Tensor) -> Tensor:
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        return x.to(torch.get_autocast_dtype(kind))
    return x


def route(x: Tensor, router: Tensor, top_k: int) -> Tensor:
    """Route weights p [..., n_m] of x [..., h] and a router [n_m, h], float32: the softmax over the
    top_k largest logits, 0 elsewhere."""
    with torch.autocast(x.device.type, enabled=False):
        logits = F.linear(x.to(router.dtype), router)
        return reference.route(logits.float(), top_k)


def mglu(x: Tensor, weight: Tensor, mask_logits: Tensor, activation: str = "silu",
         ablation: str | None = None, routes: Tensor | None = None) -> Tensor:
    """a = sum_i p_i g(x (M_i W)^T) * (x ((1 - M_i) W)^T), M_i = 1 where L_i > 0; straight-through.

    x            [..., h].
    weight       W [d, h].
    mask_logits  L [n_m, d, h], 1 to 16 masks; float32 is best, for half precision rounds small ones.
    activation   g, one of `mglu.units.ACTIVATIONS`.
    ablation     None, or no_gate_mask or no_value_mask: a factor without its mask, as a control.
    routes       p [..., n_m], or None for 1.

    Returns a [..., d] of x's type, or autocast's. The first derivative is there; for more, use
    `mglu.reference.apply`.
    """
    if weight.dim() != 2 or mask_logits.dim() != 3 or mask_logits.shape[1:] != weight.shape:
        raise ValueError(
            f"weight {tuple(weight.shape)} and mask logits {tuple(mask_logits.shape)}: expected "
            "[d, h] and [n_m, d, h]")
    _check_columns(x, weight.shape[1])
    unit = _unit("mglu", mask_logits.shape[0], activation, ablation)
    if routes is not None and routes.shape != (*x.shape[:-1], unit.masks):
        raise ValueError(f"routes {tuple(routes.shape)}: expected {(*x.shape[:-1], unit.masks)}")
    x = _autocast(x)
    if not _has_kernels(x, weight) or mask_logits.device != x.device:
        return reference.apply(x, weight, unit, mask_logits, routes)
    p = x.new_empty(0, dtype=torch.float32) if routes is None else routes.float()
    return _Masked.apply(
        x, weight, mask_logits, p, unit.number, unit.masks, unit.activation_number)


def _unmasked(x: Tensor, weight: Tensor, unit: Unit) -> Tensor:
    if weight.dim() != 2 or weight.shape[0] % unit.planes:
        raise ValueError(f"weight {tuple(weight.shape)} of {unit.kind}: expected [planes d, h]")
    _check_columns(x, weight.shape[1])
    x = _autocast(x)
    if not _has_kernels(x, weight):
        return reference.apply(x, weight, unit)
    streams = F.linear(x, weight.to(x.dtype))
    return _Combine.apply(
        streams, x.new_empty(0, dtype=torch.float32), unit.number, 0, unit.activation_number)


def _check_columns(x: Tensor, columns: int) -> None:
    if x.dim() == 0 or x.shape[-1] != columns:
        raise ValueError(f"x {tuple(x.shape)}: expected [..., {columns}]")


def glu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x Wg^T) * (x Wv^T) of x [..., h] and Wg over Wv, [2 d, h]."""
    return _unmasked(x, weight, _unit("glu", 0, activation))


def shared_glu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x W^T) * (x W^T) of x [..., h] and W [d, h], a control."""
    return _unmasked(x, weight, _unit("shared_glu", 0, activation))


def lu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x W^T) of x [..., h] and W [d, h]."""
    return _unmasked(x, weight, _unit("lu", 0, activation))


def flash(x: Tensor, packed: Packed, routes: Tensor | None = None,
          narrow: bool | None = None) -> Tensor:
    """The unit of packed weights over x: one pass over weights and mask bits.

    x       [..., h], of float32, float16 or bfloat16 on the weights' device.
    packed  the weights, of `mglu.packed.pack`.
    routes  p [..., n_m] float32, or None for 1.
    narrow  whether products see x as narrow as the weights are: BF16 for BF16, groups of 32 8-bit
            integers for INT8. None is yes unless x is float32.

    Returns a [..., d] of x's type. Where a gradient of x is asked for, and where the library has no
    kernel, `mglu.reference` computes it over unpacked weights.
    """
    unit, rows, columns, weight, scales, words, number, nothing = packed
    shape, dtype = x.shape, x.dtype
    if shape[-1] != columns:
        raise ValueError(f"x {tuple(shape)}: expected [..., {columns}]")
    if dtype not in ops.TYPES or (x.requires_grad and torch.is_grad_enabled()):
        return _dense(x, packed, routes)
    n = x.numel() // columns
    if n >= DENSE_ROWS and x.is_cuda and n >= DENSE_ROWS * (1 + unit.masks):
        return _dense(x, packed, routes)
    if narrow or (narrow is None and dtype is not torch.float32):
        number |= NARROW
    prompt_rows = n if n >= PROMPT_ROWS else 0
    if routes is None and weight.dtype is not torch.int8:
        return ops.fused_linear_plain(x.contiguous(), weight, words, rows, number, prompt_rows)
    if routes is None:
        routes = nothing
    elif routes.shape != (*shape[:-1], unit.masks):
        raise ValueError(f"routes {tuple(routes.shape)}: expected {(*shape[:-1], unit.masks)}")
    return ops.fused_linear(
        x.contiguous(), weight, words, scales, routes.contiguous(), rows, number, prompt_rows)


def _dense(x: Tensor, packed: Packed, routes: Tensor | None) -> Tensor:
    """The unit over unpacked weights, through torch's product."""
    weight, masks = packed.unpack()
    dtype = x.dtype if x.is_floating_point() else weight.dtype
    weight = weight.to(dtype)
    if masks is not None:
        weight = reference.stack(weight, reference.unpack_bits(masks, packed.columns))
    streams = F.linear(x, weight)
    unit = packed.unit
    if streams.dtype == ops.product_type(x.device) and ops.supports(x.device) and streams.numel():
        p = packed.nothing if routes is None else routes
        return _Combine.apply(streams, p, unit.number, unit.masks, unit.activation_number)
    return reference.combine(streams, unit, routes)
