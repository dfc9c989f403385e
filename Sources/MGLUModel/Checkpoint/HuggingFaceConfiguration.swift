/// The keys of a `config.json`: those of Llama as transformers writes them and, for a model that
/// is no stock Llama, ours (`mlp_type`, `num_masks`, ...).
///
/// Every key is optional here; ``decoderConfiguration()`` says which are missing or disagree.
struct HuggingFaceConfiguration: Codable, Equatable {
  var architectures: [String]?
  var modelType: String?
  var vocabularySize: Int?
  var hiddenSize: Int?
  var intermediateSize: Int?
  var layers: Int?
  var heads: Int?
  var kvHeads: Int?
  var headSize: Int?
  var activation: String?
  var contextLength: Int?
  var normEpsilon: Double?
  var ropeTheta: Double?
  var ropeParameters: RopeParameters?
  var ropeScaling: RopeParameters?
  var tiesEmbeddings: Bool?
  var attentionBias: Bool?
  var mlpBias: Bool?
  var startOfText: TokenIDs?
  var endOfText: TokenIDs?
  var dataType: String?
  var quantization: Quantization?

  var mlpType: String?
  var masks: Int?
  var maskKind: String?
  var maskAblation: String?
  var routerTopK: Int?

  enum CodingKeys: String, CodingKey {
    case architectures
    case modelType = "model_type"
    case vocabularySize = "vocab_size"
    case hiddenSize = "hidden_size"
    case intermediateSize = "intermediate_size"
    case layers = "num_hidden_layers"
    case heads = "num_attention_heads"
    case kvHeads = "num_key_value_heads"
    case headSize = "head_dim"
    case activation = "hidden_act"
    case contextLength = "max_position_embeddings"
    case normEpsilon = "rms_norm_eps"
    case ropeTheta = "rope_theta"
    case ropeParameters = "rope_parameters"
    case ropeScaling = "rope_scaling"
    case tiesEmbeddings = "tie_word_embeddings"
    case attentionBias = "attention_bias"
    case mlpBias = "mlp_bias"
    case startOfText = "bos_token_id"
    case endOfText = "eos_token_id"
    case dataType = "torch_dtype"
    case quantization = "quantization_config"
    case mlpType = "mlp_type"
    case masks = "num_masks"
    case maskKind = "mask_kind"
    case maskAblation = "mask_ablation"
    case routerTopK = "router_top_k"
  }

  /// Integer weights: other readers refuse a method they do not know, as they should.
  struct Quantization: Codable, Equatable {
    var method: String?
    var bits: Int?
    var groupSize: Int?

    static let int8 = Quantization(method: "mglu", bits: 8, groupSize: WeightType.groupSize)

    enum CodingKeys: String, CodingKey {
      case method = "quant_method"
      case bits
      case groupSize = "group_size"
    }
  }

  /// Newer files' `rope_parameters`, older ones' `rope_scaling`.
  struct RopeParameters: Codable, Equatable {
    var type: String?
    var legacyType: String?
    var theta: Double?

    enum CodingKeys: String, CodingKey {
      case type = "rope_type"
      case legacyType = "type"
      case theta = "rope_theta"
    }
  }

  /// One id or a list of ids.
  struct TokenIDs: Codable, Equatable {
    var ids: [Int32]

    init(_ ids: [Int32]) { self.ids = ids }

    init(from decoder: any Swift.Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let id = try? container.decode(Int32.self) {
        ids = [id]
      } else {
        ids = try container.decode([Int32].self)
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      if ids.count == 1 { try container.encode(ids[0]) } else { try container.encode(ids) }
    }
  }
}

extension HuggingFaceConfiguration {
  /// The keys that describe `configuration` with matrices stored as `weights`. A GLU under SiLU is
  /// a stock Llama.
  init(_ configuration: DecoderConfiguration, weights: WeightType = .float32) {
    let c = configuration
    let unit = c.feedForward.unit
    let isLlama = unit == .gated && c.feedForward.activation == .silu
    architectures = [isLlama ? "LlamaForCausalLM" : "MGLUForCausalLM"]
    modelType = isLlama ? "llama" : "mglu"
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
    tiesEmbeddings = c.tiesEmbeddings
    attentionBias = false
    mlpBias = false
    endOfText = c.endOfText.isEmpty ? nil : TokenIDs(c.endOfText)
    startOfText = c.endOfText.first.map { TokenIDs([$0]) }
    dataType = (weights == .int8 ? WeightType.float16 : weights).dataType.rawValue
    quantization = weights == .int8 ? .int8 : nil
    guard !isLlama else { return }
    switch unit {
    case .linear: mlpType = "lu"
    case .gated: mlpType = "glu"
    case .sharedGated: mlpType = "shared_glu"
    case .masked(let mask):
      mlpType = "mglu"
      masks = mask.count
      maskKind = mask.kind.rawValue
      maskAblation = mask.ablation?.rawValue
      routerTopK = mask.routerTopK
    }
  }

  /// The model that the keys describe, or what is missing, unknown or in disagreement.
  func decoderConfiguration() throws(CheckpointError) -> DecoderConfiguration {
    func required(_ value: Int?, _ key: CodingKeys) throws(CheckpointError) -> Int {
      guard let value else {
        throw CheckpointError(.malformed, "config.json lacks \(key.rawValue)")
      }
      guard value > 0, value <= Int(Int32.max) else {
        throw CheckpointError(.malformed, "config.json: \(key.rawValue) is \(value)")
      }
      return value
    }
    guard let modelType, ["llama", "mglu"].contains(modelType) else {
      throw CheckpointError(
        .malformed, "config.json: model_type is \(modelType ?? "missing"), expected llama or mglu")
    }
    guard attentionBias != true, mlpBias != true else {
      throw CheckpointError(.malformed, "config.json: biases are not supported")
    }
    guard quantization == nil || quantization == .int8 else {
      throw CheckpointError(
        .malformed,
        "config.json: quantization_config is \(quantization?.method ?? "unnamed"), expected mglu "
          + "of 8 bits in groups of \(WeightType.groupSize)",
        remedy: "give the model before it was quantised")
    }
    let h = try required(hiddenSize, .hiddenSize)
    let headCount = try required(heads, .heads)
    let size: Int
    if let headSize {
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
    let configuration = DecoderConfiguration(
      vocabularySize: try required(vocabularySize, .vocabularySize),
      layers: try required(layers, .layers),
      attention: AttentionShape(
        heads: headCount, kvHeads: try required(kvHeads ?? headCount, .kvHeads), headSize: size),
      feedForward: FeedForwardConfiguration(
        hiddenSize: h, intermediateSize: try required(intermediateSize, .intermediateSize),
        unit: try unit(), activation: try gateActivation()),
      contextLength: try required(contextLength ?? 2048, .contextLength),
      normEpsilon: Float(normEpsilon ?? 1e-6), ropeTheta: try theta(),
      tiesEmbeddings: tiesEmbeddings ?? false, endOfText: endOfText?.ids ?? [])
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

  private func theta() throws(CheckpointError) -> Double {
    for parameters in [ropeParameters, ropeScaling] {
      guard let type = parameters?.type ?? parameters?.legacyType, type != "default" else {
        continue
      }
      throw CheckpointError(
        .malformed, "config.json: rope scaling of type \(type) is not supported")
    }
    return ropeParameters?.theta ?? ropeTheta ?? 10_000
  }

  private func unit() throws(CheckpointError) -> FeedForwardUnitKind {
    if modelType == "llama" {
      guard masks == nil, mlpType == nil || mlpType == "glu" else {
        throw CheckpointError(.disagreement, "config.json: a llama model with masks")
      }
      return .gated
    }
    if mlpType != "mglu", masks != nil {
      throw CheckpointError(
        .disagreement, "config.json: num_masks is given, but mlp_type is \(mlpType ?? "missing")")
    }
    switch mlpType {
    case "lu": return .linear
    case "glu": return .gated
    case "shared_glu": return .sharedGated
    case "mglu":
      guard let masks else { throw CheckpointError(.malformed, "config.json lacks num_masks") }
      let kind = MaskConfiguration.Kind(rawValue: maskKind ?? "learned")
      let ablation = maskAblation.map { MaskAblation(rawValue: $0) }
      guard let kind, ablation != .some(nil) else {
        throw CheckpointError(
          .malformed,
          "config.json: mask_kind \(maskKind ?? "null") or mask_ablation "
            + "\(maskAblation ?? "null") is unknown")
      }
      return .masked(
        MaskConfiguration(
          count: masks, kind: kind, ablation: ablation ?? nil, routerTopK: routerTopK))
    default:
      throw CheckpointError(
        .malformed,
        "config.json: mlp_type is \(mlpType ?? "missing"), expected lu, glu, shared_glu or mglu")
    }
  }
}

extension Activation {
  /// The spelling of transformers' `hidden_act`.
  var transformersName: String {
    switch self {
    case .geluTanh: "gelu_pytorch_tanh"
    case .identity: "linear"
    case .sigmoid, .silu, .gelu, .relu: rawValue
    }
  }

  /// The activation of a transformers' spelling.
  init?(transformersName name: String) {
    switch name {
    case "swish": self = .silu
    case "gelu_new", "gelu_fast": self = .geluTanh
    case "identity": self = .identity
    default:
      guard let found = Self.allCases.first(where: { $0.transformersName == name }) else {
        return nil
      }
      self = found
    }
  }
}
