"""Layers: `MGLU`, `GLU`, `SharedGLU`, `LU` to train, `FlashMGLU`, `FlashGLU`, `FlashSharedGLU`, `FlashLU` to
infer with, and the feed-forward block `FlashFeedForward`.

A layer makes the intermediate activation a [..., d] of x [..., h]; a down projection follows it:

    mlp = nn.Sequential(mglu.nn.MGLU(768, 3072, masks=4), nn.Linear(3072, 768, bias=False))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import functional, packed as _packed, reference
from .units import Unit, unit as _unit

INITIAL_LOGIT = 0.01  # standard deviation of mask logits


def _check(hidden_size: int, intermediate_size: int, unit: Unit, router_top_k: int | None = None) -> None:
    if hidden_size < 1 or intermediate_size < 1:
        raise ValueError(f"sizes {hidden_size} and {intermediate_size}: expected 1 or more")
    if router_top_k is not None and not 1 <= router_top_k <= unit.masks:
        raise ValueError(f"the top {router_top_k} of {unit.masks} masks: expected 1 to {unit.masks}")


class _Trained(nn.Module):
    """A unit with trainable weights."""

    def __init__(self, hidden_size: int, intermediate_size: int, unit: Unit, device, dtype):
        super().__init__()
        _check(hidden_size, intermediate_size, unit)
        self.hidden_size, self.intermediate_size = hidden_size, intermediate_size
        self.unit = unit
        self.weight = nn.Parameter(
            torch.empty(unit.planes * intermediate_size, hidden_size, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Draws the weights from N(0, 1 / (3 h))."""
        nn.init.normal_(self.weight, std=(3 * self.hidden_size) ** -0.5)

    def extra_repr(self) -> str:
        unit = self.unit
        parts = [f"{self.hidden_size}, {self.intermediate_size}, activation={unit.activation!r}"]
        if unit.masks:
            parts.append(f"masks={unit.masks}")
        if unit.ablation:
            parts.append(f"ablation={unit.ablation!r}")
        return ", ".join(parts)


class MGLU(_Trained):
    """A masked gated linear unit, a [..., d] of x [..., h]:

        a = sum_i p_i g(x (M_i W)^T) * (x ((1 - M_i) W)^T),   M_i = 1 where the logit L_i > 0

    hidden_size        h.
    intermediate_size  d.
    masks              n_m, 1 to 16.
    activation         g, one of `mglu.units.ACTIVATIONS`: silu makes a SwiMGLU.
    learned            whether masks follow their logits in training, or stay as drawn.
    ablation           None, or a factor without its mask, as a control.
    router_top_k       sum only the K masks with the largest router logits, weighted by their softmax.

    Parameters: weight [d, h], mask_logits [n_m, d, h], and with a router, router [n_m, h]. Keep the logits
    in float32: a logit's sign is its mask, and half precision rounds the smallest to 0.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, masks: int = 1,
                 activation: str = "silu", *, learned: bool = True, ablation: str | None = None,
                 router_top_k: int | None = None, device=None, dtype=None):
        unit = _unit("mglu", masks, activation, ablation)
        super().__init__(hidden_size, intermediate_size, unit, device, dtype)
        _check(hidden_size, intermediate_size, unit, router_top_k)
        self.router_top_k = router_top_k
        self.mask_logits = nn.Parameter(
            torch.empty(masks, intermediate_size, hidden_size, device=device, dtype=torch.float32),
            requires_grad=learned)
        self.router = None if router_top_k is None else nn.Parameter(
            torch.empty(masks, hidden_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws W and the router from N(0, 1 / (3 h)), mask logits from N(0, 0.01^2)."""
        super().reset_parameters()
        nn.init.normal_(self.mask_logits, std=INITIAL_LOGIT)
        if self.router is not None:
            nn.init.normal_(self.router, std=(3 * self.hidden_size) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """a [..., d] of x [..., h]."""
        routes = None
        if self.router is not None:
            routes = functional.route(x, self.router, self.router_top_k)
        return functional.masked(x, self.weight, self.mask_logits, self.unit, routes)


class GLU(_Trained):
    """A gated linear unit, a = g(x Wg^T) * (x Wv^T), SwiGLU under silu: a [..., d] of x [..., h].

    Its one parameter `weight` [2 d, h] is Wg over Wv.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 device=None, dtype=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("glu", 0, activation), device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """a [..., d] of x [..., h]."""
        return functional.unmasked(x, self.weight, self.unit)


class SharedGLU(_Trained):
    """A control, a = g(x W^T) * (x W^T): a [..., d] of x [..., h], W [d, h]."""

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 device=None, dtype=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("shared_glu", 0, activation), device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """a [..., d] of x [..., h]."""
        return functional.unmasked(x, self.weight, self.unit)


class LU(_Trained):
    """The plain layer, a = g(x W^T): a [..., d] of x [..., h], W [d, h]."""

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 device=None, dtype=None):
        super().__init__(hidden_size, intermediate_size, _unit("lu", 0, activation), device, dtype)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """a [..., d] of x [..., h]."""
        return functional.unmasked(x, self.weight, self.unit)


class _Flash(nn.Module):
    """A unit with packed weights for inference: one pass over weights and mask bits per call.

    `state_dict` has the weights in a form that every device and file understands: `weight` [planes d, h], of
    int8 `weight_scale` [planes d, ceil(h / 32)], and of an MGLU `masks`, bits uint8 [n_m, d, ceil(h / 8)].
    Moving to another device packs anew; `to(dtype)` leaves the weights' type as it is.
    """

    unit: Unit

    def __init__(self, hidden_size: int, intermediate_size: int, unit: Unit, *, dtype, device,
                 router_top_k: int | None = None):
        super().__init__()
        _check(hidden_size, intermediate_size, unit, router_top_k)
        self.hidden_size, self.intermediate_size, self.unit = hidden_size, intermediate_size, unit
        self.router_top_k = router_top_k
        device = torch.empty(0, device=device).device  # None is torch's default
        self.register_parameter("router", None if router_top_k is None else nn.Parameter(
            torch.zeros(unit.masks, hidden_size, device=device), requires_grad=False))
        self._set(_packed.empty(
            unit, intermediate_size, hidden_size, dtype or torch.get_default_dtype(), device))

    def _set(self, packed: _packed.Packed) -> None:
        for name in ("weight", "scales", "words", "nothing"):
            self.register_buffer("_" + name, getattr(packed, name), persistent=False)
        self._packed = packed

    @property
    def dtype(self) -> torch.dtype:
        """The type of the packed weights."""
        return self._weight.dtype

    @property
    def packed(self) -> _packed.Packed:
        """The weights as `mglu.functional.flash` takes them."""
        held, own = self._packed, self._buffers
        if (held.weight is not own["_weight"] or held.words is not own["_words"]
                or held.scales is not own["_scales"]):  # replaced, as by torch.func.functional_call
            self._packed = held = _packed.packed(
                self.unit, self.intermediate_size, self.hidden_size, self._weight, self._scales,
                self._words, self._nothing)
        return held

    def forward(self, x: Tensor) -> Tensor:
        """a [..., d] of x [..., h], of x's type."""
        if self.router_top_k is not None:
            routes = functional.route(x, self.router, self.router_top_k)
            return functional.flash(x, self.packed, routes)
        return functional.flash(x, self.packed)

    @torch.no_grad()
    def prepare(self, rows: int = 16, dtype: torch.dtype | None = None) -> None:
        """Compiles and loads a GPU's kernels for up to `rows` rows of x of a type, by default of the weights'
        (of INT8, bfloat16), so that calls may be captured in a CUDA graph. On a CPU there is nothing to
        prepare."""
        if self._weight.is_cuda:
            default = torch.bfloat16 if self.dtype is torch.int8 else self.dtype
            functional.prepare(
                self.packed, rows, dtype or default, is_routed=self.router_top_k is not None)
            if self.router_top_k is not None:
                # cuBLAS, which multiplies with the router, may not begin within a capture.
                functional.route(self.router.new_zeros(1, self.hidden_size), self.router, self.router_top_k)

    @classmethod
    def from_module(cls, module: nn.Module, dtype: torch.dtype | None = None):
        """The same function as a trained module's of this unit, with weights of a type (by default the
        module's): float32, float16, bfloat16 or int8."""
        if getattr(module, "unit", None) is None or module.unit.kind != cls._kind or isinstance(module, _Flash):
            raise ValueError(f"expected a trained {cls._kind}, found {type(module).__name__}")
        masks = getattr(module, "mask_logits", None)
        return cls._of(
            module.unit, module.weight, None if masks is None else reference.pack_bits(masks > 0),
            router=getattr(module, "router", None),
            router_top_k=getattr(module, "router_top_k", None), dtype=dtype)

    @classmethod
    @torch.no_grad()
    def _of(cls, unit, weight, masks=None, *, router=None, router_top_k=None, dtype=None,
            scales=None):
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self.hidden_size, self.intermediate_size = weight.shape[1], weight.shape[0] // unit.planes
        self.unit, self.router_top_k = unit, router_top_k
        self.register_parameter("router", None if router is None else nn.Parameter(
            router.detach().float().clone(), requires_grad=False))
        self._set(_packed.pack(unit, weight, masks, scales, dtype))
        return self

    def _apply(self, fn, recurse=True):
        here = self._weight.device
        probe = fn(torch.empty(0, device=here))
        if probe.device != here:
            old = self.packed
            if here.type == "meta" or probe.device.type == "meta":
                new = _packed.empty(
                    self.unit, self.intermediate_size, self.hidden_size, self.dtype, probe.device)
            else:
                weight, scales, masks = (
                    None if t is None else t.to(probe.device) for t in _packed.unpack(old))
                new = _packed.pack(self.unit, weight, masks, scales)
            self._set(new)
        # Weights, words and the router keep their types.
        held, self._buffers = self._buffers, {}
        router, self._parameters["router"] = self.router, None
        try:
            super()._apply(fn, recurse)
        finally:
            self._buffers, self._parameters["router"] = held, router
        if router is not None and router.device != probe.device:
            moved = (torch.empty_like(router, device=probe.device) if router.is_meta
                     else router.detach().to(probe.device))
            self.router = nn.Parameter(moved, requires_grad=False)
        return self

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight, scales, masks = _packed.unpack(self.packed)
        for name, tensor in (("weight", weight), ("weight_scale", scales), ("masks", masks)):
            if tensor is not None:
                destination[prefix + name] = tensor

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        found = {name: state_dict.get(prefix + name) for name in ("weight", "weight_scale", "masks")}
        rest = {k: v for k, v in state_dict.items() if k[len(prefix):] not in found
                or not k.startswith(prefix)}
        super()._load_from_state_dict(rest, prefix, metadata, strict, missing, unexpected, errors)
        needed = ["weight"] + ["masks"] * bool(self.unit.masks)
        absent = [prefix + name for name in needed if found[name] is None]
        missing.extend(absent)
        if absent:
            return
        found_shape, own = tuple(found["weight"].shape), (
            self.unit.planes * self.intermediate_size, self.hidden_size)
        if found_shape != own:
            errors.append(f"size mismatch for {prefix}weight: {found_shape}, expected {own}")
            return
        try:
            is_assigned = metadata.get("assign_to_params_buffers", False)
            place = found["weight"].device if is_assigned else self._weight.device
            self._set(_packed.pack(
                self.unit, *(None if found[n] is None else found[n].to(place)
                             for n in ("weight", "masks", "weight_scale")), dtype=self.dtype))
        except (ValueError, RuntimeError) as error:
            errors.append(f"{prefix}: {error}")

    def __getstate__(self):
        state = self.__dict__.copy()
        state["_packed"] = None
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self._packed = _packed.packed(
            self.unit, self.intermediate_size, self.hidden_size, self._weight, self._scales,
            self._words, self._nothing)

    def extra_repr(self) -> str:
        masks = f", masks={self.unit.masks}" if self.unit.masks else ""
        return (f"{self.hidden_size}, {self.intermediate_size}{masks}, "
                f"activation={self.unit.activation!r}, dtype={self.dtype}")


class FlashMGLU(_Flash):
    """An MGLU for inference (the paper's FlashMGLU): 16-bit or INT8 weights and packed mask bits.

    Arguments as of `MGLU`; dtype is the type of the weights. `from_module` makes it of a trained one.
    """

    _kind = "mglu"

    def __init__(self, hidden_size: int, intermediate_size: int, masks: int = 1,
                 activation: str = "silu", *, ablation: str | None = None,
                 router_top_k: int | None = None, dtype=None, device=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("mglu", masks, activation, ablation),
            dtype=dtype, device=device, router_top_k=router_top_k)


class FlashGLU(_Flash):
    """A GLU for inference; arguments as of `GLU`, dtype is the type of the weights."""

    _kind = "glu"

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 dtype=None, device=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("glu", 0, activation), dtype=dtype, device=device)


class FlashSharedGLU(_Flash):
    """A shared GLU for inference; arguments as of `SharedGLU`, dtype is the type of the weights."""

    _kind = "shared_glu"

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 dtype=None, device=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("shared_glu", 0, activation), dtype=dtype,
            device=device)


class FlashLU(_Flash):
    """A plain layer for inference, with activation identity a projection; arguments as of `LU`."""

    _kind = "lu"

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "silu", *,
                 dtype=None, device=None):
        super().__init__(
            hidden_size, intermediate_size, _unit("lu", 0, activation), dtype=dtype, device=device)


FLASH = {cls._kind: cls for cls in (FlashMGLU, FlashGLU, FlashSharedGLU, FlashLU)}


class FlashFeedForward(nn.Module):
    """A feed-forward block for inference, y [..., h] of x [..., h]: a packed unit, and the packed down
    projection [h, d]."""

    def __init__(self, unit: _Flash, down_proj: _Flash):
        super().__init__()
        self.unit, self.down_proj = unit, down_proj

    def forward(self, x: Tensor) -> Tensor:
        """y [..., h] of x [..., h]."""
        return self.down_proj(self.unit(x))
