"""Packed copies of the weights of model folders' blocks, kept from call to call and made anew after changes."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from . import packed, reference
from .units import Unit

# From so many rows on a look at elements of the weights costs little beside the pass: microseconds on a CPU, on
# a GPU a wait for what was queued before. On an H100 it adds 50 to 100 us; 1024 rows over 14336 x 4096 take
# 320 us with 1 mask and 880 with 4 (2026-11-27).
LOOK_ROWS = {"cpu": 16, "cuda": 2048}
LOOKS = 64  # elements of a tensor


class _Copy(NamedTuple):
    key: tuple
    sources: tuple[weakref.ref, ...]
    looks_at_weight: bool  # whether W is copied, too
    look: Tensor | None  # elements as they were
    packed: packed.Packed


# Not in the blocks, whose copies and pickles would have them too.
_copies: weakref.WeakKeyDictionary[nn.Module, _Copy] = weakref.WeakKeyDictionary()
_steps: int | None = None  # of all optimizers since the first copy of trained weights


def get(module: nn.Module, found: Unit, weight: Tensor, masks: Tensor, rows: int) -> packed.Packed:
    """The packed weights of a block, for a call of so many rows. `masks` are logits or bits."""
    is_trained = weight.requires_grad or masks.requires_grad
    if is_trained:
        _count_steps()
    sources = weight, masks
    key = (found, weight.dtype, *map(_version, sources), _steps if is_trained else None)
    held = _copies.get(module)
    if held is None or held.key != key or any(s() is not t for s, t in zip(held.sources, sources)) or (
            rows >= LOOK_ROWS[weight.device.type] and _has_changed(held, sources)):
        bits = masks if masks.dtype is torch.uint8 else reference.pack_bits(masks > 0)
        copy = _pack(found, weight.detach(), bits)
        is_copied = copy.weight.data_ptr() != weight.data_ptr()
        held = _Copy(key, tuple(map(weakref.ref, sources)), is_copied, _look(sources, is_copied), copy)
        _copies[module] = held
    return held.packed


def forget(module: nn.Module) -> None:
    """Drops the copy of a block, if it has one."""
    _copies.pop(module, None)


def refresh(model: nn.Module) -> nn.Module:
    """Drops the packed copies of weights that the blocks of a model folder keep: their next calls make them anew.

    Needed after updates through `.data` or in inference mode, which torch does not count, where they are of a few
    elements or the next calls have few rows. It also frees a GPU's memory. Returns the model.
    """
    for module in model.modules():
        forget(module)
    return model


def _version(tensor: Tensor) -> tuple[int, int | None]:
    """What changes with a tensor, as far as torch counts."""
    return tensor.data_ptr(), None if tensor.is_inference() else tensor._version


def _count_steps() -> None:
    """Torch does not count what fused optimizers change."""
    global _steps
    if _steps is None:
        _steps = 0
        register_optimizer_step_post_hook(_count_step)


def _count_step(*_) -> None:
    global _steps
    _steps += 1


def _look(sources: tuple[Tensor, Tensor], with_weight: bool) -> Tensor | None:
    """Elements that are spread over the masks, and W, on the CPU; None within a CUDA graph, which cannot wait."""
    if sources[0].is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    # An odd step meets all columns where their number is even. Bits of masks fit in every type.
    parts = [t.detach().reshape(-1)[:: t.numel() // LOOKS | 1] for t in sources[0 if with_weight else 1 :]]
    return torch.cat(parts).to("cpu")


def _has_changed(held: _Copy, sources: tuple[Tensor, Tensor]) -> bool:
    now = None if held.look is None else _look(sources, held.looks_at_weight)
    return now is not None and not torch.equal(now, held.look)


def _pack(found: Unit, weight: Tensor, bits: Tensor) -> packed.Packed:
    if weight.is_cuda or not weight.is_contiguous():
        return packed.pack(found, weight, bits)
    rows, columns = weight.shape
    return packed.packed(
        found, rows, columns, weight, weight.new_empty(0, dtype=torch.float16),
        packed.words_of(found, bits.contiguous(), columns), weight.new_empty(0, dtype=torch.float32))
