/// The keys of a `config.json`: those of a ``ModelFamily`` as transformers writes them and, for a model
/// that is none, ours (`mlp_type`, `num_masks`, ...).
///
/// Every key is optional here; ``modelConfiguration()`` says which are missing or disagree.
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
  var attentionSoftcap: Double?
  var finalSoftcap: Double?
  var slidingWindow: Nullable<Int>?
  var usesSlidingWindow: Bool?
  var firstWindowedLayer: Int?
  var layerTypes: [String]?
  var noRopeLayers: [Int]?
  var noRopeInterval: Int?
  var rotatedShare: Double?
  var originalContext: Int?
  /// Written as null, because the default of readers may lie beyond the vocabulary.
  var padTokenID: Unread?
  var bosTokenID: TokenIDs?
  var eosTokenIDs: TokenIDs?
  var dataType: String?
  var quantization: Quantization?
  var autoMap: [String: String]?

  var baseFamily: String?
  var usesQKNorm: Bool?
  var hasQKVBias: Bool?
  var attentionWindow: Int?
  var fullAttentionLayers: [Int]?
  var mlpType: String?
  var masks: Int?
  var maskKind: String?
  var maskStorage: String?
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
    case attentionSoftcap = "attn_logit_softcapping"
    case finalSoftcap = "final_logit_softcapping"
    case slidingWindow = "sliding_window"
    case usesSlidingWindow = "use_sliding_window"
    case firstWindowedLayer = "max_window_layers"
    case layerTypes = "layer_types"
    case noRopeLayers = "no_rope_layers"
    case noRopeInterval = "no_rope_layer_interval"
    case rotatedShare = "partial_rotary_factor"
    case originalContext = "original_max_position_embeddings"
    case padTokenID = "pad_token_id"
    case bosTokenID = "bos_token_id"
    case eosTokenIDs = "eos_token_id"
    case dataType = "torch_dtype"
    case quantization = "quantization_config"
    case autoMap = "auto_map"
    case baseFamily = "base_model_type"
    case usesQKNorm = "use_qk_norm"
    case hasQKVBias = "qkv_bias"
    case attentionWindow = "attention_window"
    case fullAttentionLayers = "full_attention_layers"
    case mlpType = "mlp_type"
    case masks = "num_masks"
    case maskKind = "mask_kind"
    case maskStorage = "mask_storage"
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

  /// A value whose absence and whose null mean different things.
  enum Nullable<Value: Codable & Equatable>: Codable, Equatable {
    case null
    case value(Value)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      self = container.decodeNil() ? .null : .value(try container.decode(Value.self))
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .null: try container.encodeNil()
      case .value(let value): try container.encode(value)
      }
    }
  }

  /// A value of which it is only known that there is one. It is written as null.
  struct Unread: Codable, Equatable {
    init() {}

    init(from decoder: any Decoder) throws {}

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encodeNil()
    }
  }

  /// One id or a list of ids.
  struct TokenIDs: Codable, Equatable {
    var ids: [Int32]

    init(_ ids: [Int32]) { self.ids = ids }

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      do {
        ids = [try container.decode(Int32.self)]
      } catch DecodingError.typeMismatch(_, let context) {
        guard let list = try? container.decode([Int32].self) else {
          throw DecodingError.typeMismatch(Self.self, context)
        }
        ids = list
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      if ids.count == 1 { try container.encode(ids[0]) } else { try container.encode(ids) }
    }
  }
}

extension KeyedDecodingContainer {
  /// What the decoding of ``HuggingFaceConfiguration`` calls: a null is kept.
  func decodeIfPresent<Value>(
    _ type: HuggingFaceConfiguration.Nullable<Value>.Type, forKey key: Key
  ) throws -> HuggingFaceConfiguration.Nullable<Value>? {
    contains(key) ? try decode(type, forKey: key) : nil
  }
}
