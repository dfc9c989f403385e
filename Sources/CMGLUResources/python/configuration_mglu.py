"""The configuration of an MGLU language model: a Llama with another feed-forward unit."""

from transformers import LlamaConfig

KINDS = ("lu", "glu", "shared_glu", "mglu")
ABLATIONS = (None, "no_gate_mask", "no_value_mask")


class MGLUConfig(LlamaConfig):
    """Llama's keys, and those of the unit.

    mlp_type: lu, glu, shared_glu or mglu.
    num_masks: n_m, for mglu.
    mask_kind: learned, or fixed as drawn.
    mask_storage: how the weights hold masks: logits (trainable), or packed bits.
    mask_ablation: a factor that is left unmasked (no_gate_mask, no_value_mask), as a control.
    router_top_k: the number of masks that a router chooses for each token; None for all.
    """

    model_type = "mglu"
    base_model_tp_plan = None

    def __init__(
        self,
        mlp_type="mglu",
        num_masks=None,
        mask_kind="learned",
        mask_storage="logits",
        mask_ablation=None,
        router_top_k=None,
        **kwargs,
    ):
        self.mlp_type = mlp_type
        self.num_masks = 1 if mlp_type == "mglu" and num_masks is None else num_masks
        self.mask_kind = mask_kind
        self.mask_storage = mask_storage
        self.mask_ablation = mask_ablation
        self.router_top_k = router_top_k
        if mlp_type not in KINDS:
            raise ValueError(f"mlp_type is {mlp_type!r}, expected one of {KINDS}")
        if mask_ablation not in ABLATIONS:
            raise ValueError(f"mask_ablation is {mask_ablation!r}, expected one of {ABLATIONS}")
        super().__init__(**kwargs)


MGLUConfig.register_for_auto_class()
