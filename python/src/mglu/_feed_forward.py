"""Feed-forward blocks of models: `apply` swaps them for packed ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import functional, ops, packed, reference
from .nn import FLASH, FlashFeedForward, FlashLU
from .units import Unit, unit

# Activations as modules of torch and transformers name their classes.
_CLASSES = {
    "SiLU": "silu", "SiLUActivation": "silu", "GELU": "gelu", "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh", "PytorchGELUTanh": "gelu_tanh", "NewGELUActivation": "gelu_tanh",
    "ReLU": "relu", "ReLUSquaredActivation": "relu2", "Sigmoid": "sigmoid", "Identity": "identity",
    "LinearActivation": "identity",
}


def _activation(module: nn.Module) -> str | None:
    function = getattr(module, "activation", None) or getattr(module, "act_fn", None)
    name = _CLASSES.get(type(function).__name__)
    if name == "gelu" and getattr(function, "approximate", "none") == "tanh":
        return "gelu_tanh"
    return name


def _unit_of(module: nn.Module) -> Unit | None:
    """The unit of a block of a model folder, or of a Llama-like one without biases."""
    down, up = getattr(module, "down_proj", None), getattr(module, "up_proj", None)
    if not (isinstance(down, nn.Linear) and isinstance(up, nn.Linear)):
        return None
    gate = getattr(module, "gate_proj", None)
    if any(p.bias is not None for p in (down, up, gate) if isinstance(p, nn.Linear)):
        return None
    activation = _activation(module)
    kind = getattr(module, "kind", "glu" if isinstance(gate, nn.Linear) else None)
    if activation is None or kind is None:
        return None
    masks = getattr(module, "mask_logits", None)
    masks = getattr(module, "masks", None) if masks is None else masks
    return unit(kind, 0 if masks is None else masks.shape[0], activation,
                getattr(module, "ablation", None))


def _bits(module: nn.Module) -> Tensor | None:
    logits = getattr(module, "mask_logits", None)
    if logits is not None:
        return reference.pack_bits(logits > 0)
    return getattr(module, "masks", None)


@torch.no_grad()
def apply(model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Swaps the feed-forward blocks of a loaded model for `mglu.nn.FlashFeedForward`, in place, for
    inference: of model folders of this package, and of any Llama-like model (`gate_proj`, `up_proj`,
    `down_proj` without biases).

    model  such as `AutoModelForCausalLM.from_pretrained(...)` returns; `generate` works as before.
    dtype  the type of the blocks' weights: float16, bfloat16 or int8; None keeps theirs.

    Returns the model. Raises ValueError where no block is known.
    """
    swapped = 0
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            found = _unit_of(module)
            if found is None:
                continue
            weight = module.up_proj.weight
            if found.kind == "glu":
                weight = torch.cat([module.gate_proj.weight, weight])
            router = getattr(module, "router", None)
            flash = FLASH[found.kind]._of(
                found, weight, _bits(module), router=None if router is None else router.weight,
                router_top_k=getattr(module, "top_k", None), dtype=dtype)
            down = FlashLU._of(unit("lu", 0, "identity"), module.down_proj.weight, dtype=dtype)
            setattr(parent, name, FlashFeedForward(flash, down))
            swapped += 1
    if not swapped:
        raise ValueError(
            "no feed-forward block was found: expected modules with up_proj and down_proj, and "
            "gate_proj or a unit's masks, without biases")
    return model


def intermediate(module: nn.Module, x: Tensor) -> Tensor | None:
    """a [..., d] of x [..., h] for a block of a model folder, by kernels; None where there are none.

    With gradients the library computes what is around torch's product. Without, rows pass over packed
    weights: on a CPU the block's own beside words of mask bits, on a GPU a packed copy, made at the first
    such call and again after the weights changed. `apply` keeps one copy only.
    """
    weight = module.up_proj.weight
    if torch.compiler.is_compiling() or x.device != weight.device or not ops.supports(x.device):
        return None
    if getattr(module, "kind", None) != "mglu" or x.numel() == 0:
        return None
    found = _unit_of(module)
    if found is None:
        return None
    router = getattr(module, "router", None)
    needs_gradient = torch.is_grad_enabled() and (
        x.requires_grad or any(p.requires_grad for p in module.parameters()))
    if needs_gradient:
        if module.mask_logits is None or x.dtype != ops.product_type(x.device):
            return None
        routes = None if router is None else functional.route(x, router.weight, module.top_k)
        return functional.masked(x, weight, module.mask_logits, found, routes)
    if x.dtype not in ops.TYPES or weight.dtype not in ops.TYPES or torch.is_autocast_enabled(
            x.device.type):
        return None
    masks = module.mask_logits if module.mask_logits is not None else module.masks
    key = (weight.data_ptr(), weight._version, weight.dtype, masks.data_ptr(), masks._version)
    cached = module.__dict__.get("_mglu_packed")
    if cached is None or cached[0] != key:
        cached = (key, _pack(found, weight.detach(), _bits(module)))
        module.__dict__["_mglu_packed"] = cached
    routes = None if router is None else functional.route(x, router.weight, module.top_k)
    return functional.flash(x.detach(), cached[1], routes)


def _pack(found: Unit, weight: Tensor, bits: Tensor) -> packed.Packed:
    if weight.is_cuda or not weight.is_contiguous():
        return packed.pack(found, weight, bits)
    rows, columns = weight.shape
    return packed.packed(
        found, rows, columns, weight, torch.empty(0, dtype=torch.float16),
        packed.words_of(found, bits.contiguous(), columns), torch.empty(0))
