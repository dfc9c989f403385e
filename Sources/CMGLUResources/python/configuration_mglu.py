"""The configuration of an MGLU language model: a Llama with another feed-forward unit."""

from transformers import LlamaConfig

KINDS = ("lu", "glu", "shared_glu", "mglu")
ABLATIONS = (None, "no_gate_mask", "no_value_mask")
MASK_KINDS = ("learned", "fixed")
STORAGES = ("logits", "packed")


class MGLUConfig(LlamaConfig):
    """Llama's keys, and those of the unit.

    mlp_type: lu, glu, shared_glu or mglu.
    num_masks: n_m, for mglu.
    mask_kind: learned, or fixed as drawn.
    mask_storage: how the weights hold masks: logits (trainable), or packed bits.
    mask_ablation: a factor that is left unmasked (no_gate_mask, no_value_mask), as a control.
    router_top_k: the number of masks that a router chooses for each token; None for all.

    And those of an attention that is not Llama's.

    base_model_type: the family of models that the attention is of.
    use_qk_norm: whether query and key heads have norms.
    qkv_bias: whether queries, keys and values have biases where attention_bias is false.
    attention_window: the number of positions that a query sees; None for all.
    full_attention_layers: layers without that window.
    no_rope_layers: for each layer 1, or 0 where positions change nothing.
    partial_rotary_factor: the share of each head that is rotated.
    """

    model_type = "mglu"
    # Attention is divided, blocks are whole on every rank: a mask's rows would have to follow its matrix's.
    base_model_tp_plan = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
    }

    def __init__(
        self,
        mlp_type="mglu",
        num_masks=None,
        mask_kind="learned",
        mask_storage="logits",
        mask_ablation=None,
        router_top_k=None,
        base_model_type="llama",
        use_qk_norm=False,
        qkv_bias=False,
        attention_window=None,
        full_attention_layers=(),
        no_rope_layers=None,
        partial_rotary_factor=1.0,
        **kwargs,
    ):
        self.mlp_type = mlp_type
        self.num_masks = 1 if mlp_type == "mglu" and num_masks is None else num_masks
        self.mask_kind = mask_kind
        self.mask_storage = mask_storage
        self.mask_ablation = mask_ablation
        self.router_top_k = router_top_k
        self.base_model_type = base_model_type
        self.use_qk_norm = use_qk_norm
        self.qkv_bias = qkv_bias
        self.attention_window = attention_window
        self.full_attention_layers = list(full_attention_layers)
        self.no_rope_layers = no_rope_layers
        self.partial_rotary_factor = partial_rotary_factor
        if mlp_type not in KINDS:
            raise ValueError(f"mlp_type is {mlp_type!r}, expected one of {KINDS}")
        if mask_ablation not in ABLATIONS:
            raise ValueError(f"mask_ablation is {mask_ablation!r}, expected one of {ABLATIONS}")
        if mlp_type == "mglu":
            if mask_kind not in MASK_KINDS:
                raise ValueError(f"mask_kind is {mask_kind!r}, expected one of {MASK_KINDS}")
            if mask_storage not in STORAGES:
                raise ValueError(f"mask_storage is {mask_storage!r}, expected one of {STORAGES}")
            if router_top_k is not None and not 1 <= router_top_k <= self.num_masks:
                raise ValueError(f"router_top_k is {router_top_k}, expected 1 to {self.num_masks}, num_masks")
        super().__init__(**kwargs)

    @property
    def has_llama_attention(self):
        """Whether attention is a Llama's."""
        return (
            not self.use_qk_norm and not self.qkv_bias and self.attention_window is None
            and self.no_rope_layers is None and self.partial_rotary_factor == 1
        )


MGLUConfig.register_for_auto_class()
