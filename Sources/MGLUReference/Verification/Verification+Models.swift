import MGLUModel

/// The layers of training, and whole models.
extension Verification {
  /// The layers of training: forward and every gradient. Of the host alone: a
  /// device's training is held against the host's.
  package func trainingUnits() -> [Finding] {
    guard isHost, let backend = backend.training else { return [] }
    var (forward, backward) = (
      Finding("layers, forward", on: set), Finding("layers, backward", on: set)
    )
    for kind in Self.units {
      for (d, h) in Self.shapes {
        let synthetic = SyntheticUnit(
          .init(hiddenSize: h, intermediateSize: d, unit: kind, activation: .gelu),
          rows: Self.rows)
        let (found, expected) = (synthetic.results(on: backend), synthetic.expected)
        let name = "\(kind.label), \(d) x \(h)"
        // Sums that cancel are measured against what they sum: values of about one.
        forward.add(found.output, expected: expected.output, bound: 1e-5, floor: 1, name)
        var pairs = [(found.input, expected.input), (found.weight, expected.weight)]
        if kind.masks != nil { pairs.append((found.maskLogits, expected.maskLogits)) }
        if let router = found.router, let other = expected.router { pairs.append((router, other)) }
        for (found, expected) in pairs {
          backward.add(found, expected: expected, bound: 1e-5, floor: 1, name)
        }
      }
    }
    return [forward, backward]
  }

  /// Whole models: norm, rotary positions, attention and head; as trained, on the host, and
  /// as they write, through the key-value cache.
  package func models() throws -> [Finding] {
    var findings = [Finding("model, cached", on: set)]
    if isHost { findings.append(Finding("model, whole text", on: set)) }
    let variants = AttentionVariant.allCases.map { (FeedForwardUnitKind.glu, $0) }
    for (kind, variant) in Self.units.map({ ($0, .plain) }) + variants.dropFirst() {
      let model = try Self.model(kind, variant, on: backend.host)
      let label = kind.label + variant.label
      let tokens = (0..<67).map { Int32($0 * 17 % 41) }
      let expected = ReferenceModel(model).logits(tokens, length: 67)
      let session = try InferenceSession(inference(model, as: .float32, .exact))
      try addCached(session, tokens, expected, bound: 1e-5, label, to: &findings[0])
      guard findings.count > 1 else { continue }
      let whole = ReferenceMatrix(
        rows: 67, columns: 41, elements: model.logits(tokens).map(Double.init))
      findings[1].add(whole, expected: expected, bound: 1e-5, label)
    }
    return try findings + narrowModels() + wideModels() + [sequencesInCompany()]
  }

  /// Models over 16-bit weights, exact and reduced. Two layers pass the errors of 13 products of
  /// BF16 inputs on: 2e-2. FP16 keeps three bits more: an eighth of it.
  private func narrowModels() throws -> [Finding] {
    var findings: [Finding] = []
    for type in [WeightType.float16, .bfloat16] {
      for precision in InputPrecision.allCases {
        var finding = Finding("model, cached", on: set, weights: type, activations: precision)
        let bound = modelBound(type, precision)
        for kind in [Self.units[2], Self.units[3], Self.units[8], Self.units[12]] {
          let model = try Self.model(kind, on: backend.host)
          model.round(to: type)
          let tokens = (0..<67).map { Int32($0 * 17 % 41) }
          let session = try InferenceSession(inference(model, as: type, precision))
          try addCached(
            session, tokens, ReferenceModel(model).logits(tokens, length: 67),
            bound: bound, kind.label, to: &finding)
        }
        findings.append(finding)
      }
    }
    return findings
  }

  /// Reads all but 17 tokens at once and the others one by one.
  func addCached(
    _ session: InferenceSession, _ tokens: [Int32], _ expected: ReferenceMatrix, bound: Double,
    _ label: String, to finding: inout Finding
  ) throws {
    let sequence = try session.open()
    defer { session.remove(sequence) }
    var position = 0
    for count in [tokens.count - 17] + Array(repeating: 1, count: 17) {
      let logits = try session.append(tokens[position..<position + count], to: sequence)
      position += count
      finding.add(
        ReferenceMatrix(logits), expected: expected.rows(position - 1..<position), bound: bound,
        "\(label), position \(position - 1)")
    }
  }

  func inference(
    _ model: LanguageModel, as type: WeightType, _ precision: InputPrecision
  ) throws -> InferenceModel {
    try InferenceModel(
      model.configuration, from: model, weights: type, precision: precision, on: backend)
  }

  func modelBound(_ type: WeightType, _ precision: InputPrecision) -> Double {
    switch (type, precision) {
    case (.bfloat16, .reduced): 2e-2
    case (.float16, .reduced) where backend.typesOfNarrowInputs.contains(type): 2.5e-3
    case (.int8, .reduced) where backend.typesOfNarrowInputs.contains(type): 2.5e-3
    default: 1e-5
    }
  }

  static func model(
    _ kind: FeedForwardUnitKind, _ variant: AttentionVariant = .plain,
    widths: ModelWidths = .narrow, on host: CPUBackend
  ) throws -> LanguageModel {
    let (h, d) = widths.unit
    var configuration = ModelConfiguration(
      vocabularySize: widths.vocabulary, layers: 2, attention: widths.attention,
      feedForward: .init(hiddenSize: h, intermediateSize: d, unit: kind),
      contextLength: widths == .narrow ? 67 : 300)
    variant.apply(to: &configuration)
    let model = try LanguageModel(configuration, on: host)
    model.initialize(seed: 3)
    model.spreadVectors()
    return model
  }
}

/// Widths of a model that fill nothing, or for which a GPU has a step in one kernel: whole turns of its
/// warps, or parts of them.
enum ModelWidths: CaseIterable {
  case narrow, whole, parts

  /// h and d.
  var unit: (h: Int, d: Int) {
    switch self {
    case .narrow: (23, 31)
    case .whole: (512, 1024)
    case .parts: (320, 832)
    }
  }

  /// More than other matrices have rows: some blocks of an H100 have a part of the head and of nothing else.
  var vocabulary: Int { self == .narrow ? 41 : 2200 }

  var attention: AttentionShape {
    switch self {
    case .narrow: .init(heads: 4, kvHeads: 2, headSize: 6)
    case .whole: .init(heads: 8, kvHeads: 2, headSize: 64)
    case .parts: .init(heads: 10, kvHeads: 5, headSize: 32)
    }
  }
}

/// What the attention of a family has that a Llama's has not.
enum AttentionVariant: CaseIterable {
  case plain, qkNorm, biases, outputBiases, windows, unrotated, partlyRotated, yarn

  var label: String {
    switch self {
    case .plain: ""
    case .qkNorm: ", QK-norm"
    case .biases: ", biases"
    case .outputBiases: ", all biases"
    case .windows: ", window"
    case .unrotated: ", no positions"
    case .partlyRotated: ", partly rotated"
    case .yarn: ", yarn"
    }
  }

  /// Gives it to a model of two layers.
  func apply(to configuration: inout ModelConfiguration) {
    switch self {
    case .plain: break
    case .qkNorm: configuration.hasQKNorm = true
    case .biases: configuration.hasQKVBias = true
    case .outputBiases: (configuration.hasQKVBias, configuration.hasOutputBias) = (true, true)
    case .windows:
      configuration.attention.window = 9
      configuration.unwindowedLayers = [1]
    case .unrotated: configuration.unrotatedLayers = [0]
    case .partlyRotated: configuration.attention.rotarySize -= 2
    case .yarn: configuration.ropeScaling = .yarn(.init(factor: 4, original: 16))
    }
  }
}

extension LanguageModel {
  /// Gives values to norms of heads and to biases, which begin as 1 and 0.
  func spreadVectors() {
    for layer in weights.layers {
      for norm in [layer.queryNorm, layer.keyNorm].compactMap(\.self) {
        norm.assign((0..<norm.count).map { 0.5 + 0.25 * Float($0 % 5) })
      }
      for bias in [layer.qkvBias, layer.outputBias].compactMap(\.self) {
        bias.assign((0..<bias.count).map { 0.25 * Float($0 % 7) - 0.75 })
      }
    }
  }

  /// Rounds the matrices that inference stores narrow, which are all but the routers'.
  func round(to type: WeightType) {
    let host = backend.host
    for named in namedParameters where named.parameter.isPacked {
      host.dequantize(host.quantize(named.tensor, as: type), into: named.tensor)
    }
  }
}
