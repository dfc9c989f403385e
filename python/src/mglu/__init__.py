"""Masked Gated Linear Units for PyTorch: the kernels of swift-mglu, as layers.

    import torch, mglu

    layer = mglu.nn.MGLU(768, 3072, masks=4)       # trains: a [..., 3072] of x [..., 768]
    flash = mglu.nn.FlashMGLU.from_module(layer, dtype=torch.bfloat16)
    a = flash(torch.randn(1, 768))
"""

from . import functional, nn, ops, reference, units
from ._copies import refresh
from ._feed_forward import apply, intermediate
from ._library import Error
from .ops import set_num_threads
from ._version import __version__

__all__ = [
    "Error", "apply", "functional", "intermediate", "nn", "ops", "reference", "refresh", "set_num_threads",
    "units", "__version__",
]
