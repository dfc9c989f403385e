// What the families say of attention, each in keys of its own: windows, layers without positions, biases,
// and the part of a head that is rotated.

extension HuggingFaceConfiguration {
  /// The `model_type` of what no stock model can express.
  static let maskedType = "mglu"

  /// Whether the keys of attention are ours.
  var isMasked: Bool { modelType == Self.maskedType }

  /// The family that `model_type` names; of an MGLU the one that it was made from.
  func family() throws(CheckpointError) -> ModelFamily {
    let (name, key) =
      isMasked
      ? (baseFamily ?? ModelFamily.llama.rawValue, CodingKeys.baseFamily) : (modelType, .modelType)
    guard let family = name.flatMap(ModelFamily.init) else {
      let known = ModelFamily.allCases.map(\.rawValue) + (isMasked ? [] : [Self.maskedType])
      throw CheckpointError(
        .malformed,
        "config.json: \(key.rawValue) is \(name ?? "missing"), expected "
          + known.dropLast().joined(separator: ", ") + " or \(known.last ?? "")")
    }
    return family
  }

  /// What transformers takes for keys that are missing.
  struct Defaults {
    var contextLength = 2048
    var originalContext: Int?
    var headSize: Int?
    var normEpsilon = 1e-6
    var ropeTheta = 10_000.0
    var tiesEmbeddings = false

    init(_ family: ModelFamily) {
      switch family {
      case .llama: break
      case .mistral: contextLength = 131_072
      case .qwen2: contextLength = 32_768
      case .qwen3: (contextLength, headSize) = (32_768, 128)
      case .smolLM3: (contextLength, ropeTheta, tiesEmbeddings) = (32_768, 2_000_000, true)
      case .phi3: (contextLength, originalContext, normEpsilon) = (4096, 4096, 1e-5)
      }
    }
  }

  // Reading --------------------------------------------------------------------------------------

  /// Which projections of attention have biases.
  func biases(of family: ModelFamily) -> (qkv: Bool, output: Bool) {
    if isMasked { return (attentionBias == true || hasQKVBias == true, attentionBias == true) }
    return switch family {
    case .llama, .qwen3, .smolLM3: (attentionBias == true, attentionBias == true)
    case .qwen2: (true, false)
    case .mistral, .phi3: (false, false)
    }
  }

  /// How many positions queries see, where not all, and the layers that see all or rotate nothing.
  func exceptions(
    of family: ModelFamily, layers: Int
  ) throws(CheckpointError) -> (window: Int?, unwindowed: Set<Int>, unrotated: Set<Int>) {
    // The layers are described one by one below.
    guard layers <= ModelConfiguration.mostLayers else { return (nil, [], []) }
    let unrotated = try unrotatedLayers(of: family, layers: layers)
    if isMasked { return (attentionWindow, Set(fullAttentionLayers ?? []), unrotated) }
    guard let window = try window(of: family) else {
      try checkLayerTypes()
      return (nil, [], unrotated)
    }
    let unwindowed: Set<Int>
    switch (try fullLayersOfTypes(layers), family) {
    case (let full?, .qwen2), (let full?, .qwen3), (let full?, .smolLM3): unwindowed = full
    case (let full?, _):
      guard full.isEmpty else {
        throw CheckpointError(
          .malformed,
          "config.json: layer_types has full_attention beside a sliding_window, which is not supported "
            + "of a \(family.rawValue)")
      }
      unwindowed = []
    case (nil, .qwen2), (nil, .qwen3):
      unwindowed = Set(0..<min(max(0, firstWindowedLayer ?? 28), layers))
    case (nil, .smolLM3): unwindowed = Set(0..<layers).subtracting(unrotated)
    case (nil, _): unwindowed = []
    }
    return unwindowed.count == layers ? (nil, [], unrotated) : (window, unwindowed, unrotated)
  }

  private func window(of family: ModelFamily) throws(CheckpointError) -> Int? {
    var given: Int?
    if case .value(let value) = slidingWindow { given = value }
    switch family {
    case .mistral: return slidingWindow == nil ? 4096 : given
    case .phi3: return given
    case .qwen2, .qwen3:
      guard usesSlidingWindow == true else { return nil }
      return slidingWindow == nil ? 4096 : given
    case .smolLM3: return usesSlidingWindow == true ? given : nil
    case .llama:
      guard given == nil || usesSlidingWindow == false else {
        throw CheckpointError(
          .malformed, "config.json: sliding_window is set, which no llama has",
          remedy: "give the model_type of a model that has windows, such as mistral")
      }
      return nil
    }
  }

  private func checkLayerTypes() throws(CheckpointError) {
    let known = ["full_attention", "sliding_attention"]
    if let type = layerTypes?.first(where: { !known.contains($0) }) {
      throw CheckpointError(
        .malformed,
        "config.json: layer_types has \(type), expected \(known.joined(separator: " or "))")
    }
  }

  /// The layers whose type is full attention, where types are given.
  private func fullLayersOfTypes(_ layers: Int) throws(CheckpointError) -> Set<Int>? {
    guard let layerTypes else { return nil }
    try checkLayerTypes()
    guard layerTypes.count >= layers else {
      throw CheckpointError(
        .disagreement,
        "config.json: \(layerTypes.count) layer_types for num_hidden_layers \(layers)")
    }
    return Set(layerTypes.prefix(layers).indices.filter { layerTypes[$0] == "full_attention" })
  }

  /// The layers without positions: 0 in `no_rope_layers`, or every fourth of a SmolLM3.
  private func unrotatedLayers(
    of family: ModelFamily, layers: Int
  ) throws(CheckpointError) -> Set<Int> {
    if let noRopeLayers {
      guard family == .smolLM3 || isMasked || !noRopeLayers.contains(0) else {
        throw CheckpointError(
          .malformed,
          "config.json: no_rope_layers has layers without positions, which no \(family.rawValue) has"
        )
      }
      guard noRopeLayers.count >= layers else {
        throw CheckpointError(
          .disagreement,
          "config.json: \(noRopeLayers.count) no_rope_layers for num_hidden_layers \(layers)")
      }
      return Set(noRopeLayers.prefix(layers).indices.filter { noRopeLayers[$0] == 0 })
    }
    guard family == .smolLM3, !isMasked else { return [] }
    let interval = noRopeInterval ?? 4
    guard interval > 0 else {
      throw CheckpointError(
        .malformed, "config.json: no_rope_layer_interval is \(interval), expected at least 1")
    }
    return Set((0..<layers).filter { $0 % interval == interval - 1 })
  }

  /// The elements of a head that are rotated: `partial_rotary_factor` of them.
  func rotarySize(of family: ModelFamily, headSize: Int) throws(CheckpointError) -> Int {
    let share = ropeParameters?.rotatedShare ?? ropeScaling?.rotatedShare ?? rotatedShare ?? 1
    if share == 1 { return headSize }
    guard family == .phi3 || isMasked, share > 0, share < 1 else {
      throw CheckpointError(
        .malformed,
        "config.json: partial_rotary_factor is \(share), expected "
          + (family == .phi3 ? "a number above 0, at most 1" : "1"))
    }
    return Int(Double(headSize) * share)
  }

  // Writing --------------------------------------------------------------------------------------

  /// The keys of a stock model that can express `c`.
  mutating func setAttention(_ c: ModelConfiguration, of family: ModelFamily) {
    let window = c.attention.window
    switch family {
    case .llama: attentionBias = c.hasQKVBias
    case .mistral: slidingWindow = window.map { .value($0) } ?? .null
    case .qwen2: setWindows(c)
    case .qwen3:
      attentionBias = c.hasQKVBias
      setWindows(c)
    case .smolLM3:
      attentionBias = c.hasQKVBias
      setWindows(c)
      noRopeLayers = rotatedLayers(c)
      padTokenID = Unread()
    case .phi3:
      slidingWindow = window.map { .value($0) } ?? .null
      rotatedShare = share(c.attention)
      originalContext = c.ropeScaling?.shortContext
      padTokenID = Unread()
    }
  }

  /// Our own keys, only those that differ from a Llama's.
  mutating func setAttention(_ c: ModelConfiguration) {
    baseFamily = c.family == .llama ? nil : c.family.rawValue
    usesQKNorm = c.hasQKNorm ? true : nil
    attentionBias = c.hasQKVBias && c.hasOutputBias
    hasQKVBias = c.hasQKVBias && !c.hasOutputBias ? true : nil
    attentionWindow = c.attention.window
    fullAttentionLayers = c.unwindowedLayers.isEmpty ? nil : c.unwindowedLayers.sorted()
    noRopeLayers = c.unrotatedLayers.isEmpty ? nil : rotatedLayers(c)
    rotatedShare = c.attention.rotarySize == c.attention.headSize ? nil : share(c.attention)
  }

  private mutating func setWindows(_ c: ModelConfiguration) {
    usesSlidingWindow = c.attention.window != nil
    slidingWindow = c.attention.window.map { .value($0) } ?? .null
    guard c.attention.window != nil else { return }
    layerTypes = (0..<c.layers).map {
      c.unwindowedLayers.contains($0) ? "full_attention" : "sliding_attention"
    }
  }

  private func rotatedLayers(_ c: ModelConfiguration) -> [Int] {
    (0..<c.layers).map { c.unrotatedLayers.contains($0) ? 0 : 1 }
  }

  /// The share of a head, from which readers compute the number by rounding down.
  private func share(_ shape: AttentionShape) -> Double {
    let share = Double(shape.rotarySize) / Double(shape.headSize)
    return Int(Double(shape.headSize) * share) == shape.rotarySize ? share : share.nextUp
  }
}
