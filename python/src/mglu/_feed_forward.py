"""Feed-forward blocks of models: `apply` swaps them for packed ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import _copies, functional, ops, packed, reference
from .nn import FLASH, FlashFeedForward, FlashLU
from .units import Unit, unit

LARGE = 20.0  # a product that clamps of feed-forward blocks, 7 to 10, cut, and whose cube FP16 holds

# Activations as modules of torch and transformers name their classes.
_CLASSES = {
    "SiLU": "silu", "SiLUActivation": "silu", "GELU": "gelu", "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh", "PytorchGELUTanh": "gelu_tanh", "NewGELUActivation": "gelu_tanh",
    "ReLU": "relu", "ReLUSquaredActivation": "relu2", "Sigmoid": "sigmoid", "Identity": "identity",
    "LinearActivation": "identity",
}


def _activation(module: nn.Module) -> str | None:
    names = ("activation", "act_fn", "activation_fn")
    function = next((f for f in (getattr(module, name, None) for name in names) if f is not None), None)
    name = _CLASSES.get(type(function).__name__)
    if name == "gelu" and getattr(function, "approximate", "none") == "tanh":
        return "gelu_tanh"
    return name


def _unit_of(module: nn.Module) -> Unit | None:
    """The unit of a block of a model folder, or of a Llama-like one without biases. A projection that is more
    than a matrix, with an adapter or of a quantized type, makes no unit."""
    down, up = getattr(module, "down_proj", None), getattr(module, "up_proj", None)
    gate = getattr(module, "gate_proj", None)
    both = getattr(module, "gate_up_proj", None)  # of Phi-3 and GLM-4
    projections = [down, both] if both is not None else [down, up] if gate is None else [down, up, gate]
    if any(type(p) is not nn.Linear or p.bias is not None for p in projections):
        return None
    activation = _activation(module)
    kind = getattr(module, "kind", None if gate is None and both is None else "glu")
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


def _weights(module: nn.Module, found: Unit) -> Tensor:
    """W [planes d, h]."""
    if hasattr(module, "gate_up_proj"):
        return module.gate_up_proj.weight
    up = module.up_proj.weight
    return torch.cat([module.gate_proj.weight, up]) if found.kind == "glu" else up


def _check_formula(module: nn.Module, found: Unit) -> None:
    """Raises ValueError where a block computes more than its unit and the down projection: a norm or a factor
    between them, a clamp, elements that it leaves out. Names of attributes do not tell."""
    weight, down = _weights(module, found), module.down_proj.weight
    generator = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(2, weight.shape[1], generator=generator, device="cpu").to(weight.device)
    # One row is large enough for what clamps.
    x[1] *= LARGE / nn.functional.linear(x[1], weight.float()).abs().amax().clamp_min(1e-6)
    x = x.to(weight.dtype)
    router, bits = getattr(module, "router", None), _bits(module)
    routes = None if router is None else functional.route(x, router.weight, module.top_k)
    masks = None if bits is None else reference.unpack_bits(bits, weight.shape[1])
    streams = x.float() @ reference.stack(weight.float(), masks).t() if masks is not None else (
        x.float() @ weight.float().t())
    wanted = reference.combine(streams, found, routes) @ down.float().t()
    was_training = module.training
    try:
        got = module.eval()(x)
    except TypeError:  # it wants more than x
        got = None
    finally:
        module.train(was_training)
    bound = (1e-3 if weight.dtype in (torch.float32, torch.float64) else 5e-2) * wanted.abs().amax(-1, True)
    if not isinstance(got, Tensor) or got.shape != wanted.shape or not bool(
            ((got.float() - wanted).abs() <= bound).all()):
        raise ValueError(
            f"{type(module).__name__} has the projections of a {found.kind} and computes something else: "
            "expected down_proj of the unit, and nothing more")


def _check_types(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Raises ValueError where a block's weights cannot be packed."""
    names = ("gate_proj", "up_proj", "gate_up_proj", "down_proj")
    for weight in (p.weight for p in (getattr(module, name, None) for name in names) if p is not None):
        if not ops.supports(weight.device):
            raise ValueError(
                f"weights of {type(module).__name__} on {weight.device}: expected {packed.DEVICES}, with content")
        if weight.dtype not in ops.TYPES or (dtype or weight.dtype) not in ops.TYPES:
            raise ValueError(
                f"weights of {weight.dtype} to become {dtype or weight.dtype}: expected {tuple(ops.TYPES)}")


@torch.no_grad()
def apply(model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Swaps the feed-forward blocks of a loaded model for `mglu.nn.FlashFeedForward`, in place, for
    inference: of model folders of this package, and of any Llama-like model (`gate_proj` and `up_proj`, or
    `gate_up_proj`, and `down_proj`, without biases).

    model  such as `AutoModelForCausalLM.from_pretrained(...)` returns; `generate` works as before.
    dtype  the type of the blocks' weights: float16, bfloat16 or int8; None keeps theirs.

    Returns the model, which can no longer be written by `save_pretrained`. Raises ValueError, and leaves the
    model as it is, where no block is known, where one has these projections and computes something else, and
    where weights are of another type, on a device without kernels, or without content.
    Blocks with adapters stay as they are.
    """
    blocks = [
        (parent, name, module, found) for parent in model.modules()
        for name, module in parent.named_children() if (found := _unit_of(module)) is not None]
    if not blocks:
        raise ValueError(
            "no feed-forward block was found: expected modules with down_proj, and up_proj with gate_proj or a "
            "unit's masks, or gate_up_proj, plain and without biases")
    for *_, module, found in blocks:
        _check_types(module, dtype)
        _check_formula(module, found)
    for parent, name, module, found in blocks:
        router = getattr(module, "router", None)
        flash = FLASH[found.kind]._of(
            found, _weights(module, found), _bits(module), router=None if router is None else router.weight,
            router_top_k=getattr(module, "top_k", None), dtype=dtype)
        down = FlashLU._of(unit("lu", 0, "identity"), module.down_proj.weight, dtype=dtype)
        setattr(parent, name, FlashFeedForward(flash, down))
    if hasattr(model, "save_pretrained"):
        model.save_pretrained = _refuse_to_save
    return model


def _refuse_to_save(*_, **__):
    raise RuntimeError(
        "save_pretrained after mglu.apply: from_pretrained would not know the packed blocks; save the model "
        "before, or model.state_dict() with torch.save")


def intermediate(module: nn.Module, x: Tensor) -> Tensor | None:
    """a [..., d] of x [..., h] for a block of a model folder, by kernels; None where there are none.

    With gradients the library computes what is around torch's product. Without, rows pass over packed
    weights: on a CPU the block's own beside words of mask bits, on a GPU a packed copy. The first such call
    packs, and the first one after a change of W or of the masks:

    - that torch counts: any change in place but by fused optimizers, `load_state_dict`, other tensors;
    - by an optimizer of torch.optim, where W or the masks require gradients;
    - of any kind, where a call with gradients in W or the masks was between.

    Changes through `.data`, and of tensors made in inference mode, torch does not count. Calls of 16 rows and
    more, on a GPU 2048, compare 64 elements that are spread over each tensor that was copied. So they see an
    update of all elements; after one of a few, `refresh` is needed. `apply` keeps one copy only.
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
    masks = module.mask_logits if module.mask_logits is not None else module.masks
    needs_gradient = torch.is_grad_enabled() and (
        x.requires_grad or any(p.requires_grad for p in module.parameters()))
    if needs_gradient:
        if weight.requires_grad or masks.requires_grad:
            _copies.forget(module)
        if module.mask_logits is None or x.dtype != ops.product_type(x.device):
            return None
        routes = None if router is None else functional.route(x, router.weight, module.top_k)
        return functional.masked(x, weight, module.mask_logits, found, routes)
    if x.dtype not in ops.TYPES or weight.dtype not in ops.TYPES or torch.is_autocast_enabled(
            x.device.type):
        return None
    copy = _copies.get(module, found, weight, masks, x.numel() // x.shape[-1])
    routes = None if router is None else functional.route(x, router.weight, module.top_k)
    return functional.flash(x.detach(), copy, routes)
