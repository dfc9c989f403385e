extension HuggingFaceConfiguration {
  /// The keys that describe `configuration` with matrices stored as `weights`, and masks as bits
  /// or as logits. A GLU under SiLU is a stock model of its family; under another activation it is one
  /// where that is asked for, as some readers take every Llama for one under SiLU.
  init(
    _ configuration: ModelConfiguration, weights: WeightType = .float32,
    packedMasks: Bool = false, stockLlama: Bool = false
  ) {
    let c = configuration
    let unit = c.feedForward.unit
    let isStock = unit == .glu && (stockLlama || c.feedForward.activation == .silu)
    let family = isStock ? c.stockFamily : nil
    architectures = [family?.architecture ?? "MGLUForCausalLM"]
    modelType = family?.rawValue ?? Self.maskedType
    vocabularySize = c.vocabularySize
    hiddenSize = c.hiddenSize
    intermediateSize = c.feedForward.intermediateSize
    layers = c.layers
    heads = c.attention.heads
    kvHeads = c.attention.kvHeads
    headSize = c.attention.headSize
    activation = c.feedForward.activation.transformersName
    contextLength = c.contextLength
    normEpsilon = Double(c.normEpsilon.description)
    ropeTheta = c.ropeTheta
    ropeScaling = c.ropeScaling.map(RopeParameters.init)
    tiesEmbeddings = c.tiesEmbeddings
    mlpBias = false
    if let family { setAttention(c, of: family) } else { setAttention(c) }
    eosTokenIDs = c.eosTokenIDs.isEmpty ? nil : TokenIDs(c.eosTokenIDs)
    bosTokenID = (c.bosTokenID ?? c.eosTokenIDs.first).map { TokenIDs([$0]) }
    dataType = (weights == .int8 ? WeightType.float16 : weights).dataType.rawValue
    quantization = weights == .int8 ? .int8 : nil
    guard family == nil else { return }
    // transformers reads no integers of ours.
    autoMap = weights == .int8 ? nil : TransformersFiles.autoMap
    mlpType = unit.name.rawValue
    guard let mask = unit.masks else { return }
    masks = mask.count
    maskKind = mask.kind.rawValue
    maskStorage = packedMasks ? "packed" : "logits"
    maskAblation = mask.ablation?.rawValue
    routerTopK = mask.routerTopK
  }

  /// The model that the keys describe, or what is missing, unknown or in disagreement.
  func modelConfiguration() throws(CheckpointError) -> ModelConfiguration {
    func required(_ value: Int?, _ key: CodingKeys) throws(CheckpointError) -> Int {
      guard let value else {
        throw CheckpointError(.malformed, "config.json lacks \(key.rawValue)")
      }
      guard value > 0, value <= Int(Int32.max) else {
        throw CheckpointError(
          .malformed, "config.json: \(key.rawValue) is \(value): expected 1 to \(Int32.max)")
      }
      return value
    }
    let family = try family()
    let defaults = Defaults(isMasked ? .llama : family)
    for (key, isSet) in [
      (CodingKeys.mlpBias, mlpBias == true), (.attentionSoftcap, attentionSoftcap != nil),
      (.finalSoftcap, finalSoftcap != nil),
    ] where isSet {
      throw CheckpointError(
        .malformed, "config.json: \(key.rawValue) is set, which is not supported")
    }
    guard quantization == nil || quantization == .int8 else {
      throw CheckpointError(
        .malformed,
        "config.json: quantization_config is \(quantization?.method ?? "unnamed"), expected mglu "
          + "of 8 bits in groups of \(WeightType.groupSize)",
        remedy: "give the model before it was quantized")
    }
    let h = try required(hiddenSize, .hiddenSize)
    let headCount = try required(heads, .heads)
    let size: Int
    if let headSize = headSize ?? defaults.headSize {
      size = try required(headSize, .headSize)
    } else {
      guard h % headCount == 0 else {
        throw CheckpointError(
          .disagreement,
          "config.json: hidden_size \(h) is not divisible by "
            + "num_attention_heads \(headCount), and head_dim is not given")
      }
      size = h / headCount
    }
    let context = contextLength ?? defaults.contextLength
    let ends = eosTokenIDs?.ids ?? []
    let start = bosTokenID?.ids.first
    let layerCount = try required(layers, .layers)
    let (biases, exceptions) = (biases(of: family), try exceptions(of: family, layers: layerCount))
    let configuration = ModelConfiguration(
      vocabularySize: try required(vocabularySize, .vocabularySize), layers: layerCount,
      attention: AttentionShape(
        heads: headCount, kvHeads: try required(kvHeads ?? headCount, .kvHeads), headSize: size,
        window: exceptions.window, rotarySize: try rotarySize(of: family, headSize: size)),
      unwindowedLayers: exceptions.unwindowed, unrotatedLayers: exceptions.unrotated,
      feedForward: FeedForwardConfiguration(
        hiddenSize: h, intermediateSize: try required(intermediateSize, .intermediateSize),
        unit: try unit(), activation: try gateActivation()),
      contextLength: try required(context, .contextLength),
      hasQKNorm: isMasked ? usesQKNorm == true : family == .qwen3, hasQKVBias: biases.qkv,
      hasOutputBias: biases.output, normEpsilon: Float(normEpsilon ?? defaults.normEpsilon),
      ropeTheta: ropeParameters?.theta ?? ropeScaling?.theta ?? ropeTheta ?? defaults.ropeTheta,
      ropeScaling: try (ropeParameters ?? ropeScaling)?.scaling(
        context: context, original: originalContext ?? defaults.originalContext),
      tiesEmbeddings: tiesEmbeddings ?? defaults.tiesEmbeddings, eosTokenIDs: ends,
      bosTokenID: start == ends.first ? nil : start, family: family)
    do { try configuration.validate() } catch {
      throw CheckpointError(.disagreement, "config.json: \(error.message)", remedy: error.remedy)
    }
    return configuration
  }

  private func gateActivation() throws(CheckpointError) -> Activation {
    let name = activation ?? "silu"
    guard let found = Activation(transformersName: name) else {
      let known = Activation.allCases.map(\.transformersName).joined(separator: ", ")
      throw CheckpointError(
        .malformed, "config.json: hidden_act is \(name), expected one of \(known)")
    }
    return found
  }

  private func unit() throws(CheckpointError) -> FeedForwardUnitKind {
    if let modelType, !isMasked {
      guard masks == nil, mlpType == nil || mlpType == "glu" else {
        throw CheckpointError(.disagreement, "config.json: a \(modelType) model with masks")
      }
      return .glu
    }
    if mlpType != FeedForwardUnitKind.Name.mglu.rawValue, masks != nil {
      throw CheckpointError(
        .disagreement, "config.json: num_masks is given, but mlp_type is \(mlpType ?? "missing")")
    }
    guard let name = mlpType.flatMap(FeedForwardUnitKind.Name.init) else {
      let names = FeedForwardUnitKind.Name.allCases.map(\.rawValue)
      throw CheckpointError(
        .malformed,
        "config.json: mlp_type is \(mlpType ?? "missing"), expected one of "
          + names.joined(separator: ", "))
    }
    return try FeedForwardUnitKind(name, masks: maskConfiguration)
  }

  private func maskConfiguration() throws(CheckpointError) -> MaskConfiguration {
    guard let masks else { throw CheckpointError(.malformed, "config.json lacks num_masks") }
    let kind = MaskConfiguration.Kind(rawValue: maskKind ?? "learned")
    let ablation = maskAblation.map { MaskAblation(rawValue: $0) }
    guard let kind, ablation != .some(nil) else {
      throw CheckpointError(
        .malformed,
        "config.json: mask_kind \(maskKind ?? "null") or mask_ablation "
          + "\(maskAblation ?? "null") is unknown")
    }
    return MaskConfiguration(
      count: masks, kind: kind, ablation: ablation ?? nil, routerTopK: routerTopK)
  }
}
