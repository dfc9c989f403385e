/// How llama.cpp and Hugging Face name architectures and tensors.
struct GGUFArchitecture: Sendable, Equatable {
  /// llama.cpp's name, which begins the keys.
  let name: String
  /// Hugging Face's `model_type`.
  let modelType: String
  /// Whether the rows of each head of queries and keys are interleaved: llama.cpp rotates neighbors,
  /// Hugging Face rotates the halves of a head.
  let interleavesHeads: Bool

  static let all = [
    GGUFArchitecture(name: "llama", modelType: "llama", interleavesHeads: true),
    GGUFArchitecture(name: "qwen2", modelType: "qwen2", interleavesHeads: false),
    GGUFArchitecture(name: "qwen3", modelType: "qwen3", interleavesHeads: false),
    GGUFArchitecture(name: "phi3", modelType: "phi3", interleavesHeads: false),
    GGUFArchitecture(name: "smollm3", modelType: "smollm3", interleavesHeads: true),
  ]

  private static let outer = [
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
  ]

  /// llama.cpp's names of the parts of a block, and Hugging Face's.
  private var inner: [(String, String)] {
    [
      ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"),
      ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"),
      ("attn_v", "self_attn.v_proj"), ("attn_qkv", "self_attn.qkv_proj"),
      ("attn_output", "self_attn.o_proj"), ("attn_q_norm", "self_attn.q_norm"),
      ("attn_k_norm", "self_attn.k_norm"), ("ffn_gate", "mlp.gate_proj"),
      // Phi-3 has gate and value in one.
      ("ffn_up", name == "phi3" ? "mlp.gate_up_proj" : "mlp.up_proj"),
      ("ffn_down", "mlp.down_proj"),
    ]
  }

  /// Tensors that stand for settings of a `config.json`.
  static let settings: Set<String> = [
    "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
  ]

  /// Hugging Face's name of llama.cpp's tensor `name`; an unknown one keeps its name.
  func huggingFaceName(of name: String) -> String {
    guard let dot = name.lastIndex(of: "."), ["weight", "bias"].contains(name[dot...].dropFirst())
    else { return name }
    let (stem, suffix) = (name[..<dot], name[dot...])
    if let outer = Self.outer[String(stem)] { return outer + suffix }
    let parts = stem.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "blk", Int(parts[1]).map(String.init) == String(parts[1]),
      let inner = inner.first(where: { $0.0 == parts[2] })
    else { return name }
    return "model.layers.\(parts[1]).\(inner.1)\(suffix)"
  }

  /// llama.cpp's name of Hugging Face's tensor `name`, or `nil` where it has none.
  func ggufName(of name: String) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let (stem, suffix) = (String(name[..<dot]), name[dot...])
    if let outer = Self.outer.first(where: { $0.value == stem }) { return outer.key + suffix }
    let parts = stem.split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[0] == "model", parts[1] == "layers",
      let inner = inner.first(where: { $0.1 == parts[3] })
    else { return nil }
    return "blk.\(parts[2]).\(inner.0)\(suffix)"
  }
}
