"""Implementations of the operators in Python, for torch before its stable C interface."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from . import _library, ops
from .units import CELL_COLUMNS, COLUMNS_SHIFT, NARROW, NARROW_UNLESS_WIDE, ROWS_SHIFT

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


class _Pass:
    """What calls of a unit with the same types have in common; not the context, which `set_num_threads`
    changes."""

    def __init__(self, unit: int, columns: int, x_type: torch.dtype, weight: Tensor):
        if x_type not in ops.TYPES or weight.dtype not in ops.TYPES or x_type is torch.int8:
            raise RuntimeError(
                f"x of {x_type} and weights of {weight.dtype}: expected float32, float16 or bfloat16")
        if columns % CELL_COLUMNS != unit >> COLUMNS_SHIFT & CELL_COLUMNS - 1:
            raise RuntimeError("x has another number of columns than the weights")
        self.device, self.is_cuda = weight.device, weight.is_cuda
        self.columns, self.rows = columns, unit >> ROWS_SHIFT
        self.masks = unit >> 8 & 255
        self.type = ops.TYPES[x_type]
        self.narrow = int(bool(unit & NARROW or (unit & NARROW_UNLESS_WIDE and self.type)))
        self.unit = _library.Unit(
            rows=self.rows, columns=columns, kind=unit & 15, masks=self.masks,
            activation=unit >> 4 & 15, type=ops.TYPES[weight.dtype])
        self.unit_address = _at(self.unit)
        sizes = _library.Sizes()
        _library.call("mglu_packed_sizes", ops.context(weight.device), self.unit_address, _at(sizes))
        self.words_type = torch.uint8 if self.is_cuda else torch.int64
        self.numels = (sizes.weights // weight.element_size(), sizes.scales // 2,
                       sizes.words // self.words_type.itemsize)
        self.prompt_rows = ops.PROMPT_ROWS[weight.device.type]

    def workspace(self, context: int, n: int, prompt_rows: int) -> Tensor | None:
        call = _library.FusedLinearCall(
            n=n, prompt_rows=prompt_rows, x_type=self.type, output_type=self.type,
            narrows_inputs=self.narrow)
        size = ctypes.c_int64()
        _library.call("mglu_workspace_size", context, self.unit_address, _at(call), _at(size))
        return torch.empty(size.value, dtype=torch.uint8, device=self.device) if size.value else None


# At most so many passes are remembered.
_PASSES = 4096
_passes: dict[tuple, _Pass] = {}


def fused_linear_plain(x, weight, words, unit):
    return _fused_linear(x, weight, words, None, None, unit)


def fused_linear(x, weight, words, scales, routes, unit):
    return _fused_linear(x, weight, words, scales, routes if routes.numel() else None, unit)


def _fused_linear(x, weight, words, scales, routes, unit):
    device = weight.device
    key = (unit, x.shape[-1] if x.dim() else 0, x.dtype, weight.dtype, device)
    found = _passes.get(key)
    if found is None:
        if len(_passes) >= _PASSES:
            _passes.clear()
        found = _Pass(unit, key[1], x.dtype, weight)
        _passes[key] = found
    weights, scale_count, word_count = found.numels
    if (weight.numel() != weights or words.numel() != word_count
            or (0 if scales is None else scales.numel()) != scale_count
            or (word_count and (words.dtype is not found.words_type or words.device != device))
            or (scale_count and (scales.dtype is not torch.float16 or scales.device != device))):
        raise RuntimeError("packed weights of another unit or another device")
    if x.device != device or not (x.is_contiguous() and weight.is_contiguous() and words.is_contiguous()):
        raise RuntimeError(f"x on {x.device}: expected contiguous rows and weights on {device}")
    if scale_count and not scales.is_contiguous():
        raise RuntimeError("scales: expected contiguous memory")
    output = x.new_empty((*x.shape[:-1], found.rows))
    n = x.numel() // found.columns
    if n == 0:
        return output
    p = 0 if routes is None else _address(routes, "routes", x, torch.float32, n * found.masks)
    prompt_rows = n if n >= found.prompt_rows else 0
    context = ops.context(device)
    at, place, size, stream = x.data_ptr(), 0, 0, 0
    if found.is_cuda:
        if at % 16:
            x = x.clone()
            at = x.data_ptr()
        workspace, stream = found.workspace(context, n, prompt_rows), ops.stream(x)
        if workspace is not None:
            place, size = workspace.data_ptr(), workspace.numel()
    _library.fused_linear(
        context, found.unit_address,
        (weight.data_ptr(), scales.data_ptr() if scale_count else 0, words.data_ptr()), n, prompt_rows,
        at, p, output.data_ptr(), found.type, found.narrow, place, size, stream)
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
