"""The shared library: its C interface (mglu.h) through ctypes."""

from __future__ import annotations

import ctypes
import glob
import os
import struct
import sys
import threading

ABI_VERSION = 1
FLOAT32, FLOAT16, BFLOAT16, INT8 = range(4)

_P, _I32, _I64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Error(RuntimeError):
    """What a call of the library found wrong; `code` is one of mglu.h."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class _Sized(ctypes.Structure):
    """A structure whose first member is its size."""

    def __init__(self, **members):
        super().__init__(size=ctypes.sizeof(type(self)), **members)


class ErrorLine(ctypes.Structure):
    _fields_ = [("code", _I32), ("message", ctypes.c_char * 508)]


class ContextOptions(_Sized):
    _fields_ = [("size", _I64), ("device", _I32), ("threads", _I32), ("nvrtc", ctypes.c_char_p)]


class Unit(_Sized):
    _fields_ = [("size", _I64), ("rows", _I64), ("columns", _I64), ("kind", _I32), ("masks", _I32),
                ("activation", _I32), ("type", _I32)]


class Packed(ctypes.Structure):
    _fields_ = [("weights", _P), ("scales", _P), ("words", _P)]


class Sizes(ctypes.Structure):
    _fields_ = [("weights", _I64), ("scales", _I64), ("words", _I64)]


class Source(_Sized):
    _fields_ = [("size", _I64), ("type", _I32), ("weights", _P * 2), ("scales", _P * 2),
                ("masks", _P), ("stream", _P)]


class FusedLinearCall(_Sized):
    _fields_ = [("size", _I64), ("n", _I64), ("prompt_rows", _I64), ("x", _P), ("routes", _P),
                ("output", _P), ("x_type", _I32), ("output_type", _I32), ("narrows_inputs", _I32),
                ("starts_early", _I32), ("workspace", _P), ("workspace_size", _I64), ("stream", _P)]


# The same call, and regions, as bytes: a tenth of the time that the structures take to be made. Members in
# their order, with what alignment leaves between them.
_CALL = struct.Struct("@qqqPPPiiiiPqP")
_REGIONS = struct.Struct("@PPP")


def fused_linear(context: int, unit: int, regions: tuple, n: int, prompt_rows: int, x: int, routes: int,
                 output: int, element: int, narrow: int, workspace: int, workspace_size: int,
                 stream: int) -> None:
    """mglu_fused_linear of a unit at an address; 0 stands for NULL."""
    call("mglu_fused_linear", context, unit, _REGIONS.pack(*regions),
         _CALL.pack(_CALL.size, n, prompt_rows, x, routes, output, element, element, narrow, 0,
                    workspace, workspace_size, stream))


class CombineCall(_Sized):
    _fields_ = [("size", _I64), ("n", _I64), ("width", _I64), ("kind", _I32), ("masks", _I32),
                ("activation", _I32), ("routes", _P), ("streams", _P), ("a", _P),
                ("a_gradient", _P), ("streams_gradient", _P), ("routes_gradient", _P),
                ("stream", _P)]


_FUNCTIONS = {
    "mglu_context_create": [_P, _P],
    "mglu_packed_sizes": [_P, _P, _P],
    "mglu_pack": [_P, _P, _P, _P],
    "mglu_workspace_size": [_P, _P, _P, _P],
    "mglu_fused_linear": [_P, _P, _P, _P],
    "mglu_prepare": [_P, _P, _P],
    "mglu_stack": [_P, _I32, _I64, _P, _P, _P, _P],
    "mglu_unstack": [_P, _I32, _I64, _P, _P, _P, _P, _P, _P],
    "mglu_combine": [_P, _P],
    "mglu_combine_backward": [_P, _P],
    "mglu_torch_register": [ctypes.c_char_p, ctypes.c_char_p],
    "mglu_torch_use": [_P],
    "mglu_torch_context": [_I32, _P],
}


def _load() -> ctypes.CDLL:
    path = os.environ.get("MGLU_LIBRARY") or os.path.join(os.path.dirname(__file__), "libmglu.so")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"the library of mglu does not load: {error}; install a wheel of this platform, or name "
            "the file in MGLU_LIBRARY") from None
    library.mglu_abi_version.restype = _I32
    version = library.mglu_abi_version()
    if version != ABI_VERSION:
        raise ImportError(f"{path} has interface {version}, expected {ABI_VERSION}")
    for name, parameters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = [*parameters, _P]
        function.restype = _I32
    library.mglu_context_destroy.argtypes = [_P]
    library.mglu_context_destroy.restype = None
    return library


_library = _load()


class _Lines(threading.local):
    """Where the calls of a thread say what went wrong."""

    def __init__(self):
        self.line = ErrorLine()
        self.address = ctypes.addressof(self.line)


_lines = _Lines()


def call(name: str, *arguments) -> None:
    """Calls a function of the library; raises `Error` with its line."""
    if getattr(_library, name)(*arguments, _lines.address):
        line = _lines.line
        raise Error(line.code, line.message.decode(errors="replace"))


def nvrtc() -> str | None:
    """The file of NVIDIA's run-time compiler in this interpreter's packages, if there is one."""
    for folder in sys.path:
        for wheel in ("nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"):
            for file in sorted(glob.glob(os.path.join(folder, wheel, "libnvrtc.so.*"))):
                return file
    return None


def create_context(device: int, threads: int = 0) -> int:
    """A new context: of the processor with -1, of a GPU with its number."""
    file = nvrtc() if device >= 0 else None
    options = ContextOptions(
        device=device, threads=threads, nvrtc=file.encode() if file else None)
    context = _P()
    call("mglu_context_create", ctypes.addressof(options), ctypes.addressof(context))
    return context.value
