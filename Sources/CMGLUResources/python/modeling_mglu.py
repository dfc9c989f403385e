"""MGLU language models for transformers: a Llama whose feed-forward unit masks one matrix.

    a = sum_i p_i g(x (M_i W)^T) * (x ((1 - M_i) W)^T),   M_i = 1 where the logit L_i > 0

With t = x W^T and s_i = x (M_i W)^T the value is t - s_i. Masks train straight through: the
gradient of a mask reaches its logit unchanged. p_i is 1, or a router's softmax over its top K.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, LlamaModel
from transformers.activations import ACT2FN

from .configuration_mglu import MGLUConfig

INITIAL_LOGIT = 0.01  # standard deviation


class StraightThroughMask(torch.autograd.Function):
    """1 where a logit is positive, else 0; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, logits):
        return (logits > 0).to(logits.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def unpack_bits(packed, columns):
    """uint8 [n, d, ceil(h / 8)], least significant bit first, to booleans [n, d, h]."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = packed.unsqueeze(-1).bitwise_right_shift(shifts).bitwise_and(1)
    return bits.flatten(-2)[..., :columns].bool()


class MGLUFeedForward(nn.Module):
    """A feed-forward block of any unit; the parameters are named as in the checkpoint."""

    def __init__(self, config):
        super().__init__()
        h, d, n = config.hidden_size, config.intermediate_size, config.num_masks
        self.kind = config.mlp_type
        self.ablation = config.mask_ablation
        self.top_k = config.router_top_k
        self.activation = ACT2FN[config.hidden_act]
        if self.kind == "glu":
            self.gate_proj = nn.Linear(h, d, bias=False)
        self.up_proj = nn.Linear(h, d, bias=False)
        self.down_proj = nn.Linear(d, h, bias=False)
        logits = bits = None
        if self.kind == "mglu":
            if config.mask_storage == "packed":
                bits = torch.zeros(n, d, (h + 7) // 8, dtype=torch.uint8)
            else:
                learned = config.mask_kind == "learned"
                logits = nn.Parameter(torch.zeros(n, d, h), requires_grad=learned)
            if self.top_k is not None:
                self.router = nn.Linear(h, n, bias=False)
        self.register_parameter("mask_logits", logits)
        self.register_buffer("masks", bits)

    def forward(self, x):
        return self.down_proj(self.intermediate(x))

    def intermediate(self, x):
        """a [..., d] of x [..., h]."""
        t = self.up_proj(x)
        if self.kind == "lu":
            return self.activation(t)
        if self.kind == "glu":
            return self.activation(self.gate_proj(x)) * t
        if self.kind == "shared_glu":
            return self.activation(t) * t
        w = self.up_proj.weight
        masked = (self.mask_values(w) * w).flatten(0, 1)  # [n d, h]
        t = t.unsqueeze(-2)
        s = F.linear(x, masked).unflatten(-1, (-1, w.shape[0]))  # [..., n, d]
        gate = t if self.ablation == "no_gate_mask" else s
        value = t if self.ablation == "no_value_mask" else t - s
        streams = self.activation(gate) * value
        if self.top_k is not None:
            streams = streams * self.routes(x).unsqueeze(-1)
        return streams.sum(-2)

    def mask_values(self, w):
        """The masks [n, d, h], 0 or 1, in the type of W."""
        if self.mask_logits is not None:
            return StraightThroughMask.apply(self.mask_logits).to(w.dtype)
        return unpack_bits(self.masks, w.shape[1]).to(w.dtype)

    def routes(self, x):
        """Softmax over the K largest logits, 0 elsewhere; of equal ones the lower index wins."""
        logits = self.router(x)
        values, order = logits.sort(dim=-1, descending=True, stable=True)
        chosen = values[..., : self.top_k].softmax(-1)
        return torch.zeros_like(logits).scatter(-1, order[..., : self.top_k], chosen)


class MaskInitialization:
    """New masks are drawn: logits around 0, or bits."""

    # A logit's sign is its mask, and half precision would round the smallest to 0.
    _keep_in_fp32_modules = ["mask_logits"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if not isinstance(module, MGLUFeedForward):
            return
        for tensor in (module.mask_logits, module.masks):
            if tensor is None or getattr(tensor, "_is_hf_initialized", False):
                continue
            if tensor.dtype == torch.uint8:
                tensor.random_(0, 256)
            else:
                tensor.normal_(0, INITIAL_LOGIT)


class MGLUModel(MaskInitialization, LlamaModel):
    config_class = MGLUConfig

    def __init__(self, config):
        super().__init__(config)
        for layer in self.layers:
            layer.mlp = MGLUFeedForward(config)
            if getattr(config, "use_qk_norm", False):
                from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

                layer.self_attn = Qwen3Attention(config, layer.self_attn.layer_idx)
        self.post_init()


class MGLUForCausalLM(MaskInitialization, LlamaForCausalLM):
    config_class = MGLUConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = MGLUModel(config)
        self.post_init()


MGLUForCausalLM.register_for_auto_class("AutoModelForCausalLM")
