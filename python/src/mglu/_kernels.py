"""Implementations of the operators in Python, for torch before its stable C interface."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from . import _library, ops

_at = ctypes.addressof


def _address(tensor: Tensor, name: str, like: Tensor, dtype: torch.dtype | None = None,
             numel: int | None = None) -> int | None:
    if tensor.numel() == 0:
        return None
    if tensor.device != like.device:
        raise RuntimeError(f"{name}: on {tensor.device}, expected {like.device}")
    if not tensor.is_contiguous():
        raise RuntimeError(f"{name}: expected contiguous memory")
    if dtype is not None and tensor.dtype != dtype:
        raise RuntimeError(f"{name}: {tensor.dtype}, expected {dtype}")
    if numel is not None and tensor.numel() != numel:
        raise RuntimeError(f"{name}: {tensor.numel()} elements, expected {numel}")
    return tensor.data_ptr()


def _type(tensor: Tensor, name: str) -> int:
    if tensor.dtype not in ops.TYPES:
        raise RuntimeError(f"{name}: {tensor.dtype}, expected float32, float16 or bfloat16")
    return ops.TYPES[tensor.dtype]


def fused_linear_plain(x, weight, words, rows, unit, prompt_rows):
    nothing = x.new_empty(0)
    return fused_linear(x, weight, words, nothing, nothing, rows, unit, prompt_rows)


def fused_linear(x, weight, words, scales, routes, rows, unit, prompt_rows):
    if not 0 <= unit < 1 << 17:
        raise RuntimeError("a unit of another number")
    kind, activation, masks, narrow = unit & 15, unit >> 4 & 15, unit >> 8 & 255, unit >> 16
    if x.dim() == 0 or x.device.type not in ("cpu", "cuda") or not x.is_contiguous():
        raise RuntimeError("x: expected contiguous rows on a CPU or an NVIDIA GPU")
    context = ops.context(weight.device)
    columns = x.shape[-1]
    unit = _library.Unit(rows=rows, columns=columns, kind=kind, masks=masks,
                         activation=activation, type=_type(weight, "weight"))
    sizes = _library.Sizes()
    _library.call("mglu_packed_sizes", context, _at(unit), _at(sizes))
    found = tuple(t.numel() * t.element_size() for t in (weight, scales, words))
    if found != (sizes.weights, sizes.scales, sizes.words):
        raise RuntimeError("packed weights of another unit or another device")
    if scales.numel() and scales.dtype != torch.float16 or words.numel() and words.dtype != (
            torch.uint8 if words.is_cuda else torch.int64):
        raise RuntimeError("packed weights of other types")
    n = x.numel() // columns
    if x.is_cuda and x.data_ptr() % 16:
        x = x.clone()
    packed = _library.Packed(
        weights=_address(weight, "weight", x), scales=_address(scales, "scales", x),
        words=_address(words, "words", x))
    output = x.new_empty((*x.shape[:-1], rows))
    call = _library.FusedLinearCall(
        n=n, prompt_rows=prompt_rows, x=_address(x, "x", weight),
        routes=_address(routes, "routes", x, torch.float32, n * masks), output=output.data_ptr(),
        x_type=_type(x, "x"), output_type=_type(x, "x"), narrows_inputs=int(narrow),
        stream=ops.stream(x))
    if n == 0:
        return output
    workspace = None
    if x.is_cuda:
        size = ctypes.c_int64()
        _library.call("mglu_workspace_size", context, _at(unit), _at(call), _at(size))
        if size.value:
            workspace = torch.zeros(size.value, dtype=torch.uint8, device=x.device)
            call.workspace, call.workspace_size = workspace.data_ptr(), size.value
    _library.call("mglu_fused_linear", context, _at(unit), _at(packed), _at(call))
    return output


def _masked(weight, logits):
    if weight.dim() != 2 or logits.dim() != 3:
        raise RuntimeError("expected weight [d, h] and logits [n_m, d, h]")
    masks = logits.shape[0]
    return masks, (
        _address(weight, "weight", logits, torch.float32),
        _address(logits, "logits", weight, torch.float32, masks * weight.numel()))


def stack(weight, logits):
    masks, (w, l) = _masked(weight, logits)
    result = weight.new_empty(
        ((masks + 1) * weight.shape[0], weight.shape[1]), dtype=ops.product_type(weight.device))
    _library.call("mglu_stack", ops.context(weight.device), masks, weight.numel(), w, l,
                  result.data_ptr(), ops.stream(weight))
    return result


def unstack(stack_gradient, weight, logits):
    masks, (w, l) = _masked(weight, logits)
    gradient = _address(
        stack_gradient, "stack_gradient", weight, torch.float32, (masks + 1) * weight.numel())
    weight_gradient, logits_gradient = torch.zeros_like(weight), torch.zeros_like(logits)
    _library.call(
        "mglu_unstack", ops.context(weight.device), masks, weight.numel(), gradient, w, l,
        weight_gradient.data_ptr(), logits_gradient.data_ptr(), ops.stream(weight))
    return weight_gradient, logits_gradient


def _combine_call(streams, routes, kind, masks, activation):
    count = 2 if kind == 1 else masks + 1 if kind >= 3 else 1
    dtype = ops.product_type(streams.device)
    if streams.dtype != dtype or streams.shape[-1] % count:
        raise RuntimeError(f"expected streams [..., {count} d] of {dtype}")
    width = streams.shape[-1] // count
    n = streams.numel() // max(1, streams.shape[-1])
    return _library.CombineCall(
        n=n, width=width, kind=kind, masks=masks, activation=activation,
        routes=_address(routes, "routes", streams, torch.float32, n * masks),
        streams=_address(streams, "streams", streams), stream=ops.stream(streams))


def combine(streams, routes, kind, masks, activation):
    call = _combine_call(streams, routes, kind, masks, activation)
    result = streams.new_empty((*streams.shape[:-1], call.width))
    call.a = result.data_ptr()
    _library.call("mglu_combine", ops.context(streams.device), _at(call))
    return result


def combine_backward(gradient, streams, routes, kind, masks, activation):
    call = _combine_call(streams, routes, kind, masks, activation)
    call.a_gradient = _address(
        gradient, "gradient", streams, streams.dtype, call.n * call.width)
    streams_gradient, routes_gradient = torch.empty_like(streams), torch.empty_like(routes)
    call.streams_gradient = streams_gradient.data_ptr()
    call.routes_gradient = routes_gradient.data_ptr() if routes.numel() else None
    _library.call("mglu_combine_backward", ops.context(streams.device), _at(call))
    return streams_gradient, routes_gradient
