"""torch operators over the library: `torch.ops.mglu.fused_linear`, `fused_linear_plain` (without scales
and routes: fewer arguments cost less), `stack`, `unstack`, `combine`, `combine_backward`.

Schemas are defined here; implementations are C functions that the library registers through torch's
stable C interface (2.9 and newer), or, before, functions of Python. A tensor without elements stands for
none.
"""

from __future__ import annotations

import ctypes
import os
import threading

import torch
from torch import Tensor

from . import _library
from .units import ROWS_SHIFT, Unit

_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order)
_SCHEMAS = (
    "fused_linear(Tensor x, Tensor weight, Tensor words, Tensor scales, Tensor routes, int unit) -> Tensor",
    "fused_linear_plain(Tensor x, Tensor weight, Tensor words, int unit) -> Tensor",
    "stack(Tensor weight, Tensor logits) -> Tensor",
    "unstack(Tensor stack_gradient, Tensor weight, Tensor logits) -> (Tensor, Tensor)",
    "combine(Tensor streams, Tensor routes, int kind, int masks, int activation) -> Tensor",
    "combine_backward(Tensor gradient, Tensor streams, Tensor routes, int kind, int masks, "
    "int activation) -> (Tensor, Tensor)",
)
TYPES = {
    torch.float32: _library.FLOAT32, torch.float16: _library.FLOAT16,
    torch.bfloat16: _library.BFLOAT16, torch.int8: _library.INT8,
}

# From so many rows on they are computed together, in another order of sums: as torch.c has it.
PROMPT_ROWS = {"cpu": 16, "cuda": 64}

_torch_library = torch.library.Library("mglu", "DEF")
for _schema in _SCHEMAS:
    _torch_library.define(_schema, tags=_TAGS)

_contexts: dict[int, int] = {}
_processors: dict[int, int] = {}  # contexts of the processor, by their threads
_lock = threading.Lock()


def context(device: torch.device | int) -> int:
    """The library's context of a device, made at its first use."""
    ordinal = device if isinstance(device, int) else -1 if device.type == "cpu" else device.index
    found = _contexts.get(ordinal)
    if found is None:
        with _lock:
            found = _contexts.get(ordinal)
            if found is None:
                if ordinal < 0:
                    found = _library.create_context(-1, torch.get_num_threads())
                elif is_stable:
                    pointer = ctypes.c_void_p()
                    _library.call("mglu_torch_context", ordinal, ctypes.addressof(pointer))
                    found = pointer.value
                else:
                    found = _library.create_context(ordinal, 1)
                _contexts[ordinal] = found
    return found


def set_num_threads(threads: int) -> None:
    """Threads that share the work of a processor's calls, 1 to 1024, or 0 for all; at first those of torch."""
    if not 0 <= threads <= 1024:
        raise ValueError(f"{threads} threads: expected 1 to 1024, or 0 for all")
    with _lock:
        # Calls of other threads may be in the old one, which stays.
        if threads not in _processors:
            _processors[threads] = _library.create_context(-1, threads)
        _contexts[-1] = _processors[threads]
        if is_stable:
            _library.call("mglu_torch_use", _contexts[-1])


def stream(tensor: Tensor) -> int:
    """torch's current stream of the tensor's device, as a pointer."""
    return torch.cuda.current_stream(tensor.device).cuda_stream if tensor.is_cuda else 0


def _register_stable() -> bool:
    """Whether C functions implement the operators."""
    if os.environ.get("MGLU_TORCH") == "python":
        return False
    folder = os.path.join(os.path.dirname(torch.__file__), "lib")
    compiler = _library.nvrtc() if torch.version.cuda else None
    try:
        _library.call(
            "mglu_torch_register", folder.encode(), compiler.encode() if compiler else None)
    except _library.Error as error:
        if error.code == 2:
            return False
        raise
    return True


is_stable = _register_stable()
if is_stable:
    _library.call("mglu_torch_use", context(-1))
else:
    from . import _kernels

    for _schema in _SCHEMAS:
        _name = _schema.partition("(")[0]
        for _key in ("CPU", "CUDA"):
            _torch_library.impl(_name, getattr(_kernels, _name), _key)


def _check_devices(**tensors: Tensor) -> None:
    # A tensor on `meta` among others that have content brings a call here, too.
    (name, first), *others = tensors.items()
    for other, tensor in others:
        torch._check(
            tensor.device == first.device,
            lambda: f"{other} on {tensor.device}: expected {first.device}, where {name} is")


@torch.library.register_fake("mglu::fused_linear")
def _(x, weight, words, scales, routes, unit):
    _check_devices(weight=weight, x=x, words=words, scales=scales, routes=routes)
    return x.new_empty((*x.shape[:-1], unit >> ROWS_SHIFT))


@torch.library.register_fake("mglu::fused_linear_plain")
def _(x, weight, words, unit):
    _check_devices(weight=weight, x=x, words=words)
    return x.new_empty((*x.shape[:-1], unit >> ROWS_SHIFT))


def product_type(device: torch.device) -> torch.dtype:
    """The type of stacks and streams of the library on a device."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@torch.library.register_fake("mglu::stack")
def _(weight, logits):
    _check_devices(weight=weight, logits=logits)
    shape = ((logits.shape[0] + 1) * weight.shape[0], weight.shape[1])
    return weight.new_empty(shape, dtype=product_type(weight.device))


@torch.library.register_fake("mglu::unstack")
def _(stack_gradient, weight, logits):
    _check_devices(weight=weight, logits=logits, stack_gradient=stack_gradient)
    return weight.new_empty(weight.shape), logits.new_empty(logits.shape)


def _streams(kind, masks):
    return 2 if kind == 1 else masks + 1 if kind >= 3 else 1


@torch.library.register_fake("mglu::combine")
def _(streams, routes, kind, masks, activation):
    _check_devices(streams=streams, routes=routes)
    return streams.new_empty((*streams.shape[:-1], streams.shape[-1] // _streams(kind, masks)))


@torch.library.register_fake("mglu::combine_backward")
def _(gradient, streams, routes, kind, masks, activation):
    _check_devices(streams=streams, routes=routes, gradient=gradient)
    return streams.new_empty(streams.shape), routes.new_empty(routes.shape)


fused_linear = torch.ops.mglu.fused_linear.default
fused_linear_plain = torch.ops.mglu.fused_linear_plain.default
stack = torch.ops.mglu.stack.default
unstack = torch.ops.mglu.unstack.default
combine = torch.ops.mglu.combine.default
combine_backward = torch.ops.mglu.combine_backward.default
# What calling `fused_linear_plain` comes to: 0.2 us less, but torch.compile does not see through it.
call_fused_linear_plain = getattr(fused_linear_plain, "_op", fused_linear_plain)


def supports(device: torch.device) -> bool:
    """Whether the library has kernels for a device: a CPU, or an NVIDIA GPU of compute capability 8.0 and newer."""
    if device.type != "cuda":
        return device.type == "cpu"
    if torch.version.hip is not None:
        return False
    # Without a GPU it is the device of a fake tensor. torch.compile knows both functions as constants.
    return not torch.cuda.is_available() or torch.cuda.get_device_properties(device).major >= 8


def library_unit(unit: Unit, rows: int, columns: int, dtype: torch.dtype) -> _library.Unit:
    """A unit of d = rows, h = columns as the library takes it."""
    return _library.Unit(
        rows=rows, columns=columns, kind=unit.number, masks=unit.masks,
        activation=unit.activation_number, type=TYPES[dtype])
