/// The stock models that are read and written, by the `model_type` of transformers.
///
/// They differ in the attention of their blocks, and in how files spell it.
public enum ModelFamily: String, Sendable, CaseIterable {
  /// Llama: biases on all projections of attention or none.
  case llama
  /// Mistral: a sliding window in every layer, or none.
  case mistral
  /// Qwen2 and Qwen2.5: biases of queries, keys and values; windows in some layers.
  case qwen2
  /// Qwen3: QK-norm; windows in some layers.
  case qwen3
  /// SmolLM3: layers without positions (NoPE).
  case smolLM3 = "smollm3"
  /// Phi-3: queries, keys and values, and gate and up, are one matrix each in files; a part of each head
  /// is rotated.
  case phi3

  /// The class of transformers.
  var architecture: String {
    switch self {
    case .llama: "LlamaForCausalLM"
    case .mistral: "MistralForCausalLM"
    case .qwen2: "Qwen2ForCausalLM"
    case .qwen3: "Qwen3ForCausalLM"
    case .smolLM3: "SmolLM3ForCausalLM"
    case .phi3: "Phi3ForCausalLM"
    }
  }

  /// Whether a model of this family can have the attention of `configuration`.
  func expresses(_ configuration: ModelConfiguration) -> Bool {
    let c = configuration
    let hasWindows = c.attention.window != nil
    let hasSomeWindows = hasWindows && !c.unwindowedLayers.isEmpty
    // On all projections of attention, or on none.
    let hasEvenBiases = c.hasQKVBias == c.hasOutputBias
    guard c.unrotatedLayers.isEmpty || self == .smolLM3, c.hasQKNorm == (self == .qwen3),
      c.attention.rotarySize == c.attention.headSize || self == .phi3
    else { return false }
    return switch self {
    case .llama: hasEvenBiases && !hasWindows
    case .mistral: !c.hasQKVBias && !c.hasOutputBias && !hasSomeWindows
    case .qwen2: c.hasQKVBias && !c.hasOutputBias
    case .qwen3, .smolLM3: hasEvenBiases
    case .phi3:
      !c.hasQKVBias && !c.hasOutputBias && !hasSomeWindows
        && c.ropeScaling.map { $0.shortContext != nil } != false
    }
  }
}

extension ModelConfiguration {
  /// The family that a model with a GLU is written as: its own, or the first that has such an attention;
  /// `nil` where none has.
  public var stockFamily: ModelFamily? {
    ([family] + ModelFamily.allCases).first { $0.expresses(self) }
  }

  /// What sets the attention apart from a Llama's, in words.
  var attentionSummary: String {
    let parts = [
      hasQKNorm ? "QK-norm" : nil, hasQKVBias ? "biases" : nil,
      attention.window.map { "a window of \($0)" },
      unwindowedLayers.isEmpty ? nil : "\(unwindowedLayers.count) layers without a window",
      unrotatedLayers.isEmpty ? nil : "\(unrotatedLayers.count) layers without positions",
      attention.rotarySize == attention.headSize
        ? nil : "\(attention.rotarySize) of \(attention.headSize) elements rotated",
      ropeScaling == nil ? nil : "scaled frequencies",
    ]
    return parts.compactMap(\.self).joined(separator: ", ")
  }
}
