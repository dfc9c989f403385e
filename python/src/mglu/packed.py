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

GROUP = 32  # elements of INT8 that share a scale


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

    def unpack(self) -> tuple[Tensor, Tensor | None]:
        """W [planes d, h], float32 of INT8, and the bits [n_m, d, ceil(h / 8)] of an MGLU."""
        weight, scales, masks = unpack(self)
        return (weight if scales is None else dequantize(weight, scales)), masks


def packed(unit: Unit, rows: int, columns: int, weight: Tensor, scales: Tensor, words: Tensor,
           nothing: Tensor) -> Packed:
    """The parts as one; `nothing` is an empty float32 tensor."""
    return Packed(unit, rows, columns, weight, scales, words, unit.pass_number, nothing)


def empty(unit: Unit, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Packed:
    """Packed weights without content."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    if dtype not in ops.TYPES:
        raise ValueError(f"weights of {dtype}: expected one of {tuple(ops.TYPES)}")
    groups = -(-columns // GROUP)
    if device.type == "cuda" and dtype is not torch.float32:
        if dtype is torch.int8:
            raise ValueError("weights of torch.int8 on a GPU: expected float16 or bfloat16")
        cells, size = -(-rows // 16) * -(-columns // 64), unit.planes * 1024 + unit.masks * 64
        weight = torch.empty(cells, size, dtype=dtype, device=device)
        words = torch.empty(0, dtype=torch.int64, device=device)
    else:
        weight = torch.empty(unit.planes, rows, columns, dtype=dtype, device=device)
        words = (
            torch.empty(unit.masks, rows, -(-columns // 8), dtype=torch.uint8, device=device)
            if device.type == "cuda" else
            torch.empty(rows, -(-columns // 64), unit.masks, dtype=torch.int64, device=device))
    scales = torch.empty(
        (unit.planes, rows, groups) if dtype is torch.int8 else 0, dtype=torch.float16,
        device=device)
    return packed(unit, rows, columns, weight, scales, words,
                  torch.empty(0, dtype=torch.float32, device=device))


@torch.no_grad()
def pack(unit: Unit, weight: Tensor, masks: Tensor | None = None, scales: Tensor | None = None,
         dtype: torch.dtype | None = None) -> Packed:
    """Packs weights on their device.

    weight  W [planes d, h] of float32, float16, bfloat16, or int8 with scales.
    masks   bits uint8 [n_m, d, ceil(h / 8)] of an MGLU, least significant first.
    scales  of int8: float16 [planes d, ceil(h / 32)].
    dtype   what it becomes; on a CPU float32, float16, bfloat16 or int8 (groups of 32 with a scale), on a
            GPU not int8. By default the weight's.
    """
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
    result = empty(unit, rows, columns, dtype or weight.dtype, weight.device)
    if not ops.supports(weight.device):
        raise ValueError(f"weights on {weight.device}: expected a CPU or an NVIDIA GPU")
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
    words = torch.empty(rows, -(-columns // 64), unit.masks, dtype=torch.int64)
    description = ops.library_unit(unit, rows, columns, torch.float32)
    source = _library.Source(type=0, masks=masks.data_ptr())
    target = _library.Packed(words=words.data_ptr())
    _library.call("mglu_pack", ops.context(-1), ctypes.addressof(description),
                  ctypes.addressof(source), ctypes.addressof(target))
    return words


def dequantize(weight: Tensor, scales: Tensor) -> Tensor:
    """float32 [d, h] of int8 [d, h] and float16 [d, ceil(h / 32)]."""
    wide = scales.float().repeat_interleave(GROUP, -1)[..., : weight.shape[-1]]
    return weight.float() * wide


def unpack(packed: Packed) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """W [planes d, h], the scales [planes d, ceil(h / 32)] of INT8, and mask bits, portably."""
    if packed.weight.is_cuda and packed.weight.dtype is not torch.float32:
        weight, masks = _unpack_cells(packed)
        return weight, None, masks
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


def _unpack_cells(packed: Packed) -> tuple[Tensor, Tensor | None]:
    unit, rows, columns = packed.unit, packed.rows, packed.columns
    tiles, across, planes = -(-rows // 16), -(-columns // 64), unit.planes
    cells = packed.weight.view(tiles, across, -1)
    # [tile, cell, plane, block, half, row, quarter, element]
    parts = cells[..., : planes * 1024].reshape(tiles, across, planes, 2, 2, 8, 4, 8)
    weight = parts.permute(2, 0, 4, 5, 1, 3, 6, 7).reshape(planes, tiles * 16, across * 64)
    weight = weight[:, :rows, :columns].reshape(planes * rows, columns)
    if not unit.masks:
        return weight, None
    vector = next(v for v in (4, 2, 1) if unit.masks % v == 0)
    words = cells[..., planes * 1024 :].contiguous().view(torch.int32)
    # [mask, tile, cell, row, quarter]
    words = words.view(tiles, across, unit.masks // vector, 32, vector).permute(2, 4, 0, 1, 3)
    words = words.reshape(unit.masks, tiles, across, 8, 4)
    bits = torch.empty(
        unit.masks, tiles, 2, 8, across, 2, 4, 2, 2, 2, dtype=torch.bool, device=cells.device)
    for register in range(16):
        block, step, high, half = register >> 3, register >> 2 & 1, register >> 1 & 1, register & 1
        for i in range(2):
            word = (words >> (15 - register + 16 * i)) & 1
            # [mask, tile, half, row, cell, block, quarter, step, high, i]
            bits[:, :, half, :, :, block, :, step, high, i] = (word == 0).permute(0, 1, 3, 2, 4)
    from .reference import pack_bits

    dense = bits.reshape(unit.masks, tiles * 16, across * 64)[:, :rows, :columns]
    return weight, pack_bits(dense)
