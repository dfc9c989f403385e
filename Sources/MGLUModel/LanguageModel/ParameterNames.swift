/// The names of a block's parameters in a checkpoint, as Hugging Face spells them.
struct ParameterNames {
  static let embedding = "model.embed_tokens.weight"
  static let norm = "model.norm.weight"
  static let head = "lm_head.weight"

  let inputNorm, postAttentionNorm: String
  let query, key, value, output: String
  let gate, up, down: String
  let maskLogits, masks, router: String

  /// The names of the parameters of block `layer`.
  init(layer: Int) {
    let prefix = "model.layers.\(layer)."
    inputNorm = prefix + "input_layernorm.weight"
    postAttentionNorm = prefix + "post_attention_layernorm.weight"
    query = prefix + "self_attn.q_proj.weight"
    key = prefix + "self_attn.k_proj.weight"
    value = prefix + "self_attn.v_proj.weight"
    output = prefix + "self_attn.o_proj.weight"
    gate = prefix + "mlp.gate_proj.weight"
    up = prefix + "mlp.up_proj.weight"
    down = prefix + "mlp.down_proj.weight"
    maskLogits = prefix + "mlp.mask_logits"
    masks = prefix + "mlp.masks"
    router = prefix + "mlp.router.weight"
  }

  /// The name of the FP16 scales of an INT8 matrix.
  static func scales(of name: String) -> String { name + "_scale" }
}

extension NamedTensor {
  /// The name of the packed masks that may stand in for mask logits.
  var packedMasksName: String? { Self.packedMasksName(ofLogits: name) }

  static func packedMasksName(ofLogits name: String) -> String? {
    name.hasSuffix(".mask_logits") ? String(name.dropLast("mask_logits".count)) + "masks" : nil
  }

  /// Whether inference stores it as ``WeightType``: projections and the embedding, but neither
  /// norms nor routers, which are small and decide much.
  var isProjection: Bool {
    tensor.shape.count == 2 && !name.hasSuffix(".router.weight")
  }
}
