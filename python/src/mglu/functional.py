"""The units as functions of tensors.

With gradients: `mglu`, `glu`, `shared_glu`, `lu`. The product is torch's; what comes before and after it
is the library's where it has kernels: float32 on a CPU, bfloat16 activations on an NVIDIA GPU. Everything
else computes `mglu.reference`. Under autocast x takes autocast's type.

Without gradients: `flash`, over weights that `mglu.packed.pack` has packed.
"""

from __future__ import annotations

import ctypes
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn import functional as F

from . import _library, ops, reference
from .packed import Packed
from .units import NARROW, NARROW_UNLESS_WIDE, Unit, unit as _unit


def _has_kernels(x: Tensor, weight: Tensor) -> bool:
    return (
        ops.supports(x.device) and weight.device == x.device and x.numel() > 0
        and x.dtype == ops.product_type(x.device)
        and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)
    )


def _differentiates_once() -> None:
    """Refuses a backward pass that is to be differentiated itself: kernels would leave out what depends on
    x. `once_differentiable` says nothing where the incoming gradient needs none."""
    if torch.is_grad_enabled() and not is_compiling():
        raise RuntimeError(
            "a second derivative (create_graph=True): kernels have the first; mglu.reference.apply and "
            "float64 have all")


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
        _differentiates_once()
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
        _differentiates_once()
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
    if kind != "meta" and torch.is_autocast_enabled(kind):  # torch knows no autocast of meta
        return x.to(torch.get_autocast_dtype(kind))
    return x


def route(x: Tensor, router: Tensor, top_k: int) -> Tensor:
    """Route weights p [..., n_m] of x [..., h] and a router [n_m, h], float32: the softmax over the
    top_k largest logits, 0 elsewhere."""
    kind = x.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
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

    Returns a [..., d] of x's type, or autocast's. The first derivative is there, a second is refused where
    kernels compute; `mglu.reference.apply` has all.
    """
    if weight.dim() != 2 or mask_logits.dim() != 3 or mask_logits.shape[1:] != weight.shape:
        raise ValueError(
            f"weight {tuple(weight.shape)} and mask logits {tuple(mask_logits.shape)}: expected "
            "[d, h] and [n_m, d, h]")
    unit = _unit("mglu", mask_logits.shape[0], activation, ablation)
    return masked(x, weight, mask_logits, unit, routes)


def masked(x: Tensor, weight: Tensor, mask_logits: Tensor, unit: Unit, routes: Tensor | None) -> Tensor:
    """`mglu` of a unit that is known to fit weight and mask logits."""
    _check_columns(x, weight.shape[1])
    if routes is not None:
        _check_routes(routes, x, unit.masks)
    x = _autocast(x)
    if not _has_kernels(x, weight) or mask_logits.device != x.device:
        return reference.apply(x, weight, unit, mask_logits, routes)
    p = x.new_empty(0, dtype=torch.float32) if routes is None else routes.float()
    return _Masked.apply(
        x, weight, mask_logits, p, unit.number, unit.masks, unit.activation_number)


def unmasked(x: Tensor, weight: Tensor, unit: Unit) -> Tensor:
    """A unit without masks."""
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
    if not x.is_floating_point():
        raise ValueError(f"x of {x.dtype}: expected a floating-point type")


def _check_routes(routes: Tensor, x: Tensor, masks: int) -> None:
    if routes.shape != (*x.shape[:-1], masks):
        raise ValueError(f"routes {tuple(routes.shape)}: expected {(*x.shape[:-1], masks)}")


def glu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x Wg^T) * (x Wv^T) of x [..., h] and Wg over Wv, [2 d, h]."""
    return unmasked(x, weight, _unit("glu", 0, activation))


def shared_glu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x W^T) * (x W^T) of x [..., h] and W [d, h], a control."""
    return unmasked(x, weight, _unit("shared_glu", 0, activation))


def lu(x: Tensor, weight: Tensor, activation: str = "silu") -> Tensor:
    """a [..., d] = g(x W^T) of x [..., h] and W [d, h]."""
    return unmasked(x, weight, _unit("lu", 0, activation))


def flash(x: Tensor, packed: Packed, routes: Tensor | None = None,
          narrow: bool | None = None) -> Tensor:
    """The unit of packed weights over x: one pass over weights and mask bits.

    x       [..., h], of float32, float16 or bfloat16 on the weights' device.
    packed  the weights, of `mglu.packed.pack`.
    routes  p [..., n_m], which become float32, or None for 1.
    narrow  whether products see x as narrow as the weights are: BF16 for BF16, groups of 32 8-bit
            integers for INT8. None is yes unless x is float32.

    Returns a [..., d] of x's type, the first derivative in x and routes too, which unpacks the weights in
    the backward pass. Where the library has no kernel, torch's product over unpacked weights computes it.
    """
    if (x.requires_grad or routes is not None and routes.requires_grad) and torch.is_grad_enabled():
        return _differentiable(x, packed, routes, narrow)
    if routes is None and narrow is None and packed.is_short and not is_compiling():
        # What is wrong with x the kernel says, or what follows does.
        try:
            return ops.call_fused_linear_plain(x, packed.weight, packed.words, packed.number)
        except RuntimeError:
            if (x.dtype in ops.TYPES and x.is_contiguous() and x.dim()
                    and x.shape[-1] == packed.columns):
                raise
    _check_columns(x, packed.columns)
    if routes is not None:
        _check_routes(routes, x, packed.unit.masks)
        routes = routes.float()
    if x.dtype not in ops.TYPES or _is_dense(x, packed):
        return _dense(x, packed, routes)
    number = packed.number
    if narrow is not None:
        number = number & ~NARROW_UNLESS_WIDE | NARROW * narrow
    x = x.contiguous()
    if routes is None:
        if not packed.scales.numel():
            return ops.fused_linear_plain(x, packed.weight, packed.words, number)
        routes = packed.nothing
    return ops.fused_linear(
        x, packed.weight, packed.words, packed.scales, routes.contiguous(), number)


def _is_dense(x: Tensor, packed: Packed) -> bool:
    """Whether a product over unpacked weights is faster."""
    return packed.dense_rows is not None and x.numel() >= packed.dense_rows * packed.columns


@torch.no_grad()
def prepare(packed: Packed, rows: int, dtype: torch.dtype, is_routed: bool = False) -> None:
    """Compiles and loads a GPU's kernels of `flash` over up to `rows` rows of x of a type."""
    unit = ops.library_unit(packed.unit, packed.rows, packed.columns, packed.weight.dtype)
    call = _library.FusedLinearCall(
        n=rows, prompt_rows=rows if rows >= ops.PROMPT_ROWS["cuda"] else 0, x_type=ops.TYPES[dtype],
        output_type=ops.TYPES[dtype], narrows_inputs=int(dtype is not torch.float32),
        routes=packed.weight.data_ptr() if is_routed else None, stream=ops.stream(packed.weight))
    _library.call("mglu_prepare", ops.context(packed.weight.device), ctypes.addressof(unit),
                  ctypes.addressof(call))


class _Flash(torch.autograd.Function):
    """The pass, whose gradients are those of unpacked weights."""

    @staticmethod
    def forward(ctx, x, packed, routes, narrow):
        ctx.save_for_backward(x, routes)
        ctx.packed = packed
        return flash(x, packed, routes, narrow)

    @staticmethod
    def backward(ctx, gradient):
        _differentiates_once()
        x, routes = ctx.saved_tensors
        needed = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        x = x.detach().requires_grad_(needed[0])
        routes = None if routes is None else routes.detach().requires_grad_(needed[1])
        with torch.enable_grad():
            a = _dense(x, ctx.packed, routes)
        leaves = [t for t, is_needed in zip((x, routes), needed) if is_needed]
        gradients = iter(torch.autograd.grad(a, leaves, gradient))
        found = [next(gradients) if is_needed else None for is_needed in needed]
        return found[0], None, found[1], None


def _differentiable(x: Tensor, packed: Packed, routes: Tensor | None, narrow: bool | None) -> Tensor:
    _check_columns(x, packed.columns)
    if routes is not None:
        _check_routes(routes, x, packed.unit.masks)
        routes = routes.float()
    if is_compiling() or x.dtype not in ops.TYPES or _is_dense(x, packed):
        return _dense(x, packed, routes)
    return _Flash.apply(x, packed, routes, narrow)


def _dense(x: Tensor, packed: Packed, routes: Tensor | None) -> Tensor:
    """The unit over unpacked weights, through torch's product."""
    weight, masks = packed.unpack()
    weight = weight.to(x.dtype)
    if masks is not None:
        weight = reference.stack(weight, reference.unpack_bits(masks, packed.columns))
    streams = F.linear(x, weight)
    unit = packed.unit
    if streams.dtype == ops.product_type(x.device) and ops.supports(x.device) and streams.numel():
        p = packed.nothing if routes is None else routes
        return _Combine.apply(streams, p, unit.number, unit.masks, unit.activation_number)
    return reference.combine(streams, unit, routes)
