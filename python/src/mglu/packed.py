"""Weights in the layout of a device: the library packs them, torch unpacks them.

On a CPU matrices lie as they are, and the mask bits in 64-bit words, those of all masks side by side. On a
GPU weights and bits are cells of 16 rows by 64 columns in the order of a warp's registers.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from . import _library, ops
from .units import Unit

DEVICES = "a CPU, or an NVIDIA GPU of compute capability 8.0 or newer"
GROUP = 32  # elements of INT8 that share a scale
INTEGER_PLANE = 16 * 64 + 16 * 2 * 2  # bytes of a plane of INT8 in a GPU's cell, with its scales


class Packed(NamedTuple):
    """Packed weights of a unit, as a device reads them."""

    unit: Unit
    rows: int
    columns: int
    weight: Tensor
    scales: Tensor
    words: Tensor
    number: int  # of the unit, for the operators
    nothing: Tensor  # an empty tensor
    dense_rows: int | None  # from so many rows on torch's product over unpacked weights is faster
    is_short: bool  # whether the operator without scales serves any number of rows

    def unpack(self) -> tuple[Tensor, Tensor | None]:
        """W [planes d, h], float32 of INT8, and the bits [n_m, d, ceil(h / 8)] of an MGLU."""
        weight, scales, masks = unpack(self)
        return (weight if scales is None else dequantize(weight, scales)), masks


def packed(unit: Unit, rows: int, columns: int, weight: Tensor, scales: Tensor, words: Tensor,
           nothing: Tensor) -> Packed:
    """The parts as one; `nothing` is an empty float32 tensor."""
    dense_rows = _dense_rows(unit, weight)
    return Packed(
        unit, rows, columns, weight, scales, words, unit.pass_number(rows, columns), nothing, dense_rows,
        dense_rows is None and scales.numel() == 0)


def _dense_rows(unit: Unit, weight: Tensor) -> int | None:
    """GPUs other than Hopper's have no kernels for many rows. On those a product with weights unpacked for it
    is faster from so many rows on: unpacking 14336 x 4096 takes an H100 2.6 ms with 1 mask and 9.2 ms with
    4, a row in passes of 16 rows 4.7 and 6.8 us (2026-11-26)."""
    if not weight.is_cuda:
        return None
    has_kernels = torch.cuda.get_device_capability(weight.device) == (9, 0)
    return None if has_kernels and weight.dtype is not torch.float32 else 256 * (1 + unit.masks)


def empty(unit: Unit, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Packed:
    """Packed weights without content."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    if dtype not in ops.TYPES:
        raise ValueError(f"weights of {dtype}: expected one of {tuple(ops.TYPES)}")
    groups = -(-columns // GROUP)
    if device.type == "cuda" and dtype is not torch.float32:
        plane = INTEGER_PLANE if dtype is torch.int8 else 2048
        cells, size = -(-rows // 16) * -(-columns // 64), unit.planes * plane + unit.masks * 128
        weight = torch.empty(cells, size // dtype.itemsize, dtype=dtype, device=device)
        words = torch.empty(0, dtype=torch.int64, device=device)
    else:
        weight = torch.empty(unit.planes, rows, columns, dtype=dtype, device=device)
        words = (
            torch.empty(unit.masks, rows, -(-columns // 8), dtype=torch.uint8, device=device)
            if device.type == "cuda" else
            torch.empty(rows, -(-columns // 64), unit.masks, dtype=torch.int64, device=device))
    has_scales = dtype is torch.int8 and device.type != "cuda"
    scales = torch.empty(
        (unit.planes, rows, groups) if has_scales else 0, dtype=torch.float16, device=device)
    return packed(unit, rows, columns, weight, scales, words,
                  torch.empty(0, dtype=torch.float32, device=device))


@torch.no_grad()
def pack(unit: Unit, weight: Tensor, masks: Tensor | None = None, scales: Tensor | None = None,
         dtype: torch.dtype | None = None) -> Packed:
    """Packs weights on their device.

    weight  W [planes d, h] of float32, float16, bfloat16, or int8 with scales.
    masks   bits uint8 [n_m, d, ceil(h / 8)] of an MGLU, least significant first.
    scales  of int8: float16 [planes d, ceil(h / 32)].
    dtype   what it becomes: float32, float16, bfloat16 or int8 (groups of 32 with a scale). By default the
            weight's.
    """
    if weight.dim() != 2 or weight.shape[0] % unit.planes or weight.numel() == 0:
        raise ValueError(f"weights {tuple(weight.shape)} of {unit.kind}: expected [{unit.planes} d, h]")
    weight = weight.detach().contiguous()
    rows, columns = weight.shape[0] // unit.planes, weight.shape[1]
    bits = (unit.masks, rows, -(-columns // 8))
    if masks is not None:
        masks = masks.contiguous()
    if (tuple(masks.shape) if masks is not None else bits) != bits or (
            (masks is None) != (unit.masks == 0)) or (masks is not None and masks.dtype != torch.uint8):
        raise ValueError(f"mask bits: expected uint8 {bits}")
    if weight.dtype not in ops.TYPES or (weight.dtype is torch.int8) != (scales is not None):
        raise ValueError(f"weights of {weight.dtype}: expected {tuple(ops.TYPES)}, int8 with scales")
    groups = (unit.planes * rows, -(-columns // GROUP))
    if scales is not None and tuple(scales.shape) != groups:
        raise ValueError(f"scales {tuple(scales.shape)}: expected {groups}, one for {GROUP} columns")
    for name, tensor in (("mask bits", masks), ("scales", scales)):
        if tensor is not None and tensor.device != weight.device:
            raise ValueError(f"{name} on {tensor.device}: expected {weight.device}, where the weights are")
    result = empty(unit, rows, columns, dtype or weight.dtype, weight.device)
    if not ops.supports(weight.device):
        raise ValueError(f"weights on {weight.device}: expected {DEVICES}")
    if weight.is_cuda and result.weight.dtype is torch.int8 and scales is None:
        weight, scales = quantize(weight)
    if scales is not None:
        scales = scales.to(torch.float16).contiguous()
    size = weight.element_size() * rows * columns
    scales_size = rows * -(-columns // GROUP) * 2
    planes = range(unit.planes)
    source = _library.Source(
        type=ops.TYPES[weight.dtype],
        weights=(ctypes.c_void_p * 2)(*(weight.data_ptr() + p * size for p in planes)),
        scales=(ctypes.c_void_p * 2)(
            *(scales.data_ptr() + p * scales_size for p in planes if scales is not None)),
        masks=masks.data_ptr() if masks is not None else None, stream=ops.stream(weight))
    description = ops.library_unit(unit, rows, columns, result.weight.dtype)
    target = _library.Packed(
        weights=result.weight.data_ptr(), scales=result.scales.data_ptr() or None,
        words=result.words.data_ptr() or None)
    _library.call(
        "mglu_pack", ops.context(weight.device), ctypes.addressof(description),
        ctypes.addressof(source), ctypes.addressof(target))
    return result


@torch.no_grad()
def words_of(unit: Unit, masks: Tensor, columns: int) -> Tensor:
    """The words of mask bits [n_m, d, ceil(h / 8)] on a CPU, beside weights that stay where they are."""
    rows = masks.shape[1]
    words = torch.empty(rows, -(-columns // 64), unit.masks, dtype=torch.int64, device="cpu")
    description = ops.library_unit(unit, rows, columns, torch.float32)
    source = _library.Source(type=0, masks=masks.data_ptr())
    target = _library.Packed(words=words.data_ptr())
    _library.call("mglu_pack", ops.context(-1), ctypes.addressof(description),
                  ctypes.addressof(source), ctypes.addressof(target))
    return words


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [d, h] and float16 scales [d, ceil(h / 32)] of a matrix [d, h], as the library rounds on a CPU."""
    rows, columns = weight.shape
    groups = torch.nn.functional.pad(weight.float(), (0, -columns % GROUP)).view(rows, -1, GROUP)
    # By a tensor: a quotient by a number may become a product with its inverse.
    scales = (groups.abs().amax(-1) / groups.new_full((1,), 127)).half()
    steps = (groups / scales.float().unsqueeze(-1)).nan_to_num(0).round().clamp(-127, 127)
    whole = steps.masked_fill(scales.unsqueeze(-1) == 0, 0).to(torch.int8)
    return whole.view(rows, -1)[:, :columns].contiguous(), scales


def dequantize(weight: Tensor, scales: Tensor) -> Tensor:
    """float32 [d, h] of int8 [d, h] and float16 [d, ceil(h / 32)]."""
    wide = scales.float().repeat_interleave(GROUP, -1)[..., : weight.shape[-1]]
    return weight.float() * wide


def unpack(packed: Packed) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """W [planes d, h], the scales [planes d, ceil(h / 32)] of INT8, and mask bits, portably."""
    if packed.weight.is_cuda and packed.weight.dtype is not torch.float32:
        return _unpack_cells(packed)
    weight = packed.weight.reshape(-1, packed.columns)
    scales = packed.scales.reshape(weight.shape[0], -1) if packed.scales.numel() else None
    if not packed.unit.masks:
        return weight, scales, None
    if packed.words.is_cuda:
        return weight, scales, packed.words
    # A word's bytes are in order on machines that are little-endian.
    octets = packed.words.view(torch.uint8).view(packed.rows, -1, packed.unit.masks, 8)
    bits = octets.permute(2, 0, 1, 3).reshape(packed.unit.masks, packed.rows, -1)
    return weight, scales, bits[..., : -(-packed.columns // 8)].contiguous()


def _unpack_cells(packed: Packed) -> tuple[Tensor, Tensor | None, Tensor | None]:
    unit, rows, columns = packed.unit, packed.rows, packed.columns
    tiles, across, planes = -(-rows // 16), -(-columns // 64), unit.planes
    cells = packed.weight.view(tiles, across, -1)
    scales = None
    if cells.dtype is torch.int8:
        matrices = cells[..., : planes * INTEGER_PLANE].reshape(tiles, across, planes, INTEGER_PLANE)
        # [tile, cell, plane, block, row, quarter, half, element], of weights + 128
        parts = matrices[..., :1024].reshape(tiles, across, planes, 2, 8, 4, 2, 8)
        order = (2, 0, 6, 4, 1, 3, 5, 7)
        parts = parts ^ -128
        # [tile, cell, plane, row, block, half]
        halves = matrices[..., 1024:].contiguous().view(torch.float16)
        halves = halves.view(tiles, across, planes, 8, 2, 2).permute(2, 0, 5, 3, 1, 4)
        scales = halves.reshape(planes, tiles * 16, across * 2)
        scales = scales[:, :rows, : -(-columns // GROUP)].reshape(planes * rows, -1)
    else:
        # [tile, cell, plane, block, half, row, quarter, element]
        parts = cells[..., : planes * 1024].reshape(tiles, across, planes, 2, 2, 8, 4, 8)
        order = (2, 0, 4, 5, 1, 3, 6, 7)
    weight = parts.permute(order).reshape(planes, tiles * 16, across * 64)
    weight = weight[:, :rows, :columns].reshape(planes * rows, columns)
    masks = _unpack_masks(packed, cells, tiles, across) if unit.masks else None
    return weight, scales, masks


def _unpack_masks(packed: Packed, cells: Tensor, tiles: int, across: int) -> Tensor:
    """Mask bits uint8 [n_m, d, ceil(h / 8)] of a GPU's cells."""
    count = packed.unit.masks
    vector = next(v for v in (4, 2, 1) if count % v == 0)
    first = cells.shape[-1] - count * 128 // cells.dtype.itemsize
    words = cells[..., first:].contiguous().view(torch.int32)
    # [mask, tile, cell, row, quarter]
    words = words.view(tiles, across, count // vector, 32, vector).permute(2, 4, 0, 1, 3)
    words = words.reshape(count, tiles, across, 8, 4)
    bits = torch.empty(
        count, tiles, 2, 8, across, 2, 4, 2, 2, 2, dtype=torch.bool, device=cells.device)
    for register in range(16):
        block, step, high, half = register >> 3, register >> 2 & 1, register >> 1 & 1, register & 1
        for i in range(2):
            word = (words >> (15 - register + 16 * i)) & 1
            # [mask, tile, half, row, cell, block, quarter, step, high, i]
            bits[:, :, half, :, :, block, :, step, high, i] = (word == 0).permute(0, 1, 3, 2, 4)
    from .reference import pack_bits

    return pack_bits(
        bits.reshape(count, tiles * 16, across * 64)[:, : packed.rows, : packed.columns])
