extension GGUFArchitecture {
  /// The architecture of llama.cpp's that computes a model with the attention of `configuration`,
  /// whatever family it came from.
  ///
  /// - Throws: where none does.
  init(_ configuration: ModelConfiguration) throws(CheckpointError) {
    let c = configuration
    if let problem = Self.problem(c) {
      throw CheckpointError(
        .notExportable, "no architecture that is written for llama.cpp has \(problem)",
        remedy: "export a model with the attention of Llama, Qwen2, Qwen3 or SmolLM3")
    }
    let name =
      if c.hasQKNorm {
        "qwen3"
      } else if !c.unrotatedLayers.isEmpty {
        "smollm3"
      } else {
        c.hasQKVBias && !c.hasOutputBias ? "qwen2" : "llama"
      }
    guard let found = Self.all.first(where: { $0.name == name }) else {
      throw CheckpointError(.notExportable, "\(name) is no architecture of llama.cpp's")
    }
    self = found
  }

  /// What none of the architectures that are written has, in words.
  private static func problem(_ c: ModelConfiguration) -> String? {
    let hasWindow = (0..<c.layers).contains { c.attention(ofLayer: $0).window != nil }
    if hasWindow { return "a sliding window" }
    if c.attention.rotarySize != c.attention.headSize { return "partly rotated heads" }
    let hasBiases = c.hasQKVBias || c.hasOutputBias
    if hasBiases, c.hasQKNorm || !c.unrotatedLayers.isEmpty {
      return "biases beside QK-norm or layers without positions"
    }
    if c.hasOutputBias, !c.hasQKVBias { return "a bias of the output alone" }
    if !c.unrotatedLayers.isEmpty {
      // llama.cpp rotates nothing in every fourth layer.
      let fourth = Set((0..<c.layers).filter { $0 % 4 == 3 })
      if c.hasQKNorm { return "layers without positions beside QK-norm" }
      if c.unrotatedLayers != fourth { return "layers without positions other than every fourth" }
    }
    switch c.ropeScaling {
    case .longRope: return "LongRoPE"
    case .llama3 where c.hasQKNorm || !c.unrotatedLayers.isEmpty || (hasBiases && !c.hasOutputBias):
      return "frequencies scaled as Llama 3's, and is no Llama"
    case .yarn(let yarn)
    where yarn != .init(factor: yarn.factor, original: yarn.original):
      return "YaRN of other turns or another attention factor than the paper's"
    case .llama3, .yarn, .linear, nil: return nil
    }
  }
}
