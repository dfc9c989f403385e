"""The units: how each is spelled, and the numbers that the library knows it by."""

from __future__ import annotations

from typing import NamedTuple

KINDS = ("lu", "glu", "shared_glu", "mglu")
ABLATIONS = (None, "no_gate_mask", "no_value_mask")
ACTIVATIONS = ("sigmoid", "silu", "gelu", "gelu_tanh", "relu", "relu2", "identity")
# As transformers and torch spell them.
_ALIASES = {
    "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh",
    "gelu_python": "gelu", "linear": "identity", "none": "identity",
}


class Unit(NamedTuple):
    """A unit without its sizes.

    kind        lu, glu, shared_glu or mglu.
    masks       n_m, 1 to 16, of an mglu; else 0.
    activation  g: sigmoid, silu, gelu, gelu_tanh, relu, relu2 or identity.
    ablation    None, or the factor of an mglu that is left unmasked, as a control.
    """

    kind: str = "mglu"
    masks: int = 1
    activation: str = "silu"
    ablation: str | None = None

    @property
    def number(self) -> int:
        """Its number in mglu.h."""
        if self.kind == "mglu":
            return 3 + ABLATIONS.index(self.ablation)
        return KINDS.index(self.kind)

    @property
    def activation_number(self) -> int:
        """Its activation's number in mglu.h."""
        return ACTIVATIONS.index(self.activation)

    def pass_number(self, rows: int, columns: int) -> int:
        """The unit of d = rows, h = columns as one number of the operators fused_linear: products see x as
        narrow as the weights unless it is float32. Of h it has what the size of a GPU's cells leaves open."""
        return (self.number | self.activation_number << 4 | self.masks << 8 | NARROW_UNLESS_WIDE
                | columns % CELL_COLUMNS << COLUMNS_SHIFT | rows << ROWS_SHIFT)

    @property
    def planes(self) -> int:
        """Matrices [d, h] of its weight: the gate's and the value's of a glu, else one."""
        return 2 if self.kind == "glu" else 1

    @property
    def streams(self) -> int:
        """Results [n, d] of its wide product."""
        return {"glu": 2, "mglu": self.masks + 1}.get(self.kind, 1)


# In `Unit.pass_number`: products see x as narrow as the weights; or they do unless x is float32.
NARROW, NARROW_UNLESS_WIDE = 1 << 16, 1 << 17
COLUMNS_SHIFT, ROWS_SHIFT, CELL_COLUMNS = 18, 24, 64


def unit(kind: str, masks: int = 0, activation: str = "silu", ablation: str | None = None) -> Unit:
    """A checked unit; raises ValueError."""
    name = _ALIASES.get(activation, activation)
    if kind not in KINDS:
        raise ValueError(f"unit {kind!r}: expected one of {KINDS}")
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r}: expected one of {ACTIVATIONS}")
    if ablation not in ABLATIONS or (ablation and kind != "mglu"):
        raise ValueError(f"ablation {ablation!r} of {kind}: expected one of {ABLATIONS}, of an mglu")
    masks = masks or 0
    if not (1 <= masks <= 16 if kind == "mglu" else masks == 0):
        raise ValueError(f"{masks} masks of {kind}: expected 1 to 16 of an mglu, else 0")
    return Unit(kind, masks, name, ablation)
