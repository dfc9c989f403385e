"""MGLU language models for transformers: a Llama whose feed-forward unit masks one matrix.

    a = sum_i p_i g(x (M_i W)^T) * (x ((1 - M_i) W)^T),   M_i = 1 where the logit L_i > 0

With t = x W^T and s_i = x (M_i W)^T the value is t - s_i. Masks train straight through: the
gradient of a mask reaches its logit unchanged. p_i is 1, or a router's softmax over its top K.

Where the package mglu is installed (pip install mglu) its kernels compute units with masks, else the formula
as it is written here.
"""

import functools
import importlib
import importlib.util

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, LlamaModel
from transformers.activations import ACT2FN
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaAttention, LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding, eager_attention_forward)
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding, apply_rotary_pos_emb

from .configuration_mglu import MGLUConfig

INITIAL_LOGIT = 0.01  # standard deviation


@functools.cache
def kernels():
    """What computes a block's intermediate activation with kernels: (block, x) to a, or to None where
    there is no kernel. None where the package mglu is not installed."""
    found = importlib.util.find_spec("mglu")
    if found is None or found.origin is None:
        return None
    return getattr(importlib.import_module("mglu"), "intermediate", None)


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


def draw_bits(packed):
    """Fills packed masks with bits of one sequence: buffers are the same at every initialization."""
    if packed.device.type != "meta":
        generator = torch.Generator(device="cpu").manual_seed(0)
        packed.copy_(torch.randint(
            256, packed.shape, dtype=packed.dtype, device="cpu", generator=generator))


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
                bits = torch.empty(n, d, (h + 7) // 8, dtype=torch.uint8)
                draw_bits(bits)
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
        if self.kind == "mglu":
            return self.masked(x)
        t = self.up_proj(x)
        if self.kind == "lu":
            return self.activation(t)
        if self.kind == "glu":
            return self.activation(self.gate_proj(x)) * t
        return self.activation(t) * t

    def masked(self, x):
        # torch.compile sees through the formula, but not through kernels that decide by what they find.
        if not torch.compiler.is_compiling() and kernels() is not None:
            a = kernels()(self, x)
            if a is not None:
                return a
        w = self.masked_weight()
        masked = (self.mask_values(w) * w).flatten(0, 1)  # [n d, h]
        t = F.linear(x, w).unsqueeze(-2)
        s = F.linear(x, masked).unflatten(-1, (-1, w.shape[0]))  # [..., n, d]
        gate = t if self.ablation == "no_gate_mask" else s
        value = t if self.ablation == "no_value_mask" else t - s
        streams = self.activation(gate) * value
        if self.top_k is not None:
            streams = streams * self.routes(x).unsqueeze(-1)
        return streams.sum(-2)

    def masked_weight(self):
        """W, with what LoRA adds to it: the masks choose among elements of both."""
        up = self.up_proj
        if type(up) is nn.Linear:
            return up.weight
        is_lora = hasattr(up, "get_delta_weight") and not any(getattr(up, "use_dora", {}).values())
        if not is_lora or type(up.get_base_layer()) is not nn.Linear:
            raise TypeError(
                f"up_proj is a {type(up).__name__}: expected nn.Linear, or one with LoRA adapters of peft, for "
                "masks choose among the elements of one matrix")
        w = up.get_base_layer().weight
        if up.merged or up.disable_adapters:
            return w
        for name in up.active_adapters:
            if name in up.lora_A:
                w = w + up.get_delta_weight(name).to(w.dtype)
        return w

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


class MGLUAttention(LlamaAttention):
    """Attention with what other families have: QK-norm, biases, windows, layers without positions,
    heads of which a part is rotated."""

    def __init__(self, config, layer_idx):
        super().__init__(config, layer_idx)
        self.window = None if layer_idx in config.full_attention_layers else config.attention_window
        self.is_rotated = config.no_rope_layers is None or bool(config.no_rope_layers[layer_idx])
        self.has_head_norms = config.use_qk_norm
        if config.use_qk_norm:
            self.q_norm = LlamaRMSNorm(self.head_dim, eps=config.rms_norm_eps)
            self.k_norm = LlamaRMSNorm(self.head_dim, eps=config.rms_norm_eps)
        if config.qkv_bias:
            for name in ("q_proj", "k_proj", "v_proj"):
                plain = getattr(self, name)
                setattr(self, name, nn.Linear(plain.in_features, plain.out_features, bias=True))

    def forward(
        self, hidden_states, position_embeddings=None, attention_mask=None, cache=None, **kwargs
    ):
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        queries, keys, values = (
            project(hidden_states).view(shape) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.has_head_norms:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        queries, keys, values = (x.transpose(1, 2) for x in (queries, keys, values))
        if self.is_rotated:
            queries, keys = apply_rotary_pos_emb(queries, keys, *position_embeddings)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer_idx)
        if self.window is not None:
            attention_mask = self.windowed(attention_mask, queries, keys)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward)
        output, weights = attend(
            self, queries, keys, values, attention_mask,
            dropout=self.attention_dropout if self.training else 0.0, scaling=self.scaling,
            sliding_window=self.window, **kwargs)
        return self.o_proj(output.reshape(*hidden_states.shape[:-1], -1).contiguous()), weights

    def windowed(self, mask, queries, keys):
        """The mask, or the causal one, without the keys before the window of each query."""
        if mask is not None and mask.dim() != 4:
            return mask
        count, length = queries.shape[-2], keys.shape[-2]
        positions = torch.arange(length - count, length, device=queries.device)[:, None]
        others = torch.arange(length, device=queries.device)
        visible = (others <= positions) & (others > positions - self.window)
        if mask is not None and mask.dtype == torch.bool:
            return mask[..., :length] & visible
        hidden = torch.zeros_like(visible, dtype=queries.dtype).masked_fill(
            ~visible, torch.finfo(queries.dtype).min)
        if mask is None:
            return hidden[None, None]
        return torch.minimum(mask[..., :length], hidden)


class MGLUDecoderLayer(LlamaDecoderLayer):
    """A Llama's layer with another feed-forward block."""

    def __init__(self, config, layer_idx):
        super(LlamaDecoderLayer, self).__init__()
        self.hidden_size = config.hidden_size
        attention = LlamaAttention if config.has_llama_attention else MGLUAttention
        self.self_attn = attention(config, layer_idx)
        self.mlp = MGLUFeedForward(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class MaskInitialization:
    """New masks are drawn: logits around 0, or bits."""

    _no_split_modules = ["MGLUDecoderLayer"]

    def keep_logits_wide(self):
        """A logit's sign is its mask, and half precision would round the smallest to 0."""
        config = self.config
        if config.mlp_type == "mglu" and config.mask_storage == "logits":
            self._keep_in_fp32_modules = ["mask_logits"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if not isinstance(module, MGLUFeedForward):
            return
        for tensor in (module.mask_logits, module.masks):
            if tensor is None or getattr(tensor, "_is_hf_initialized", False):
                continue
            if tensor.dtype == torch.uint8:
                draw_bits(tensor)
            else:
                tensor.normal_(0, INITIAL_LOGIT)


class MGLUModel(MaskInitialization, LlamaModel):
    config_class = MGLUConfig

    def __init__(self, config):
        # A Llama's own constructor would build its layers first.
        super(LlamaModel, self).__init__(config)
        self.keep_logits_wide()
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList(
            [MGLUDecoderLayer(config, index) for index in range(config.num_hidden_layers)])
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if config.partial_rotary_factor != 1:
            config.rope_parameters["partial_rotary_factor"] = config.partial_rotary_factor
            self.rotary_emb = Phi3RotaryEmbedding(config)
        else:
            self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


class MGLUForCausalLM(MaskInitialization, LlamaForCausalLM):
    config_class = MGLUConfig

    def __init__(self, config):
        super(LlamaForCausalLM, self).__init__(config)
        self.keep_logits_wide()
        self.model = MGLUModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


MGLUModel.register_for_auto_class("AutoModel")
MGLUForCausalLM.register_for_auto_class("AutoModelForCausalLM")
