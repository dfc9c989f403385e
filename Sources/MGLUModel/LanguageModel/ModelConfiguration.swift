/// The shape of a Llama-style model: pre-norm blocks of grouped-query attention and a
/// feed-forward block of any unit.
public struct ModelConfiguration: Sendable, Equatable {
  /// V, the number of token ids.
  public var vocabularySize: Int
  /// Blocks.
  public var layers: Int
  /// Heads and their size, and what the layers see and rotate that are no exceptions; see
  /// ``attention(ofLayer:)``.
  public var attention: AttentionShape
  /// Layers that see everything where the others have a window.
  public var unwindowedLayers: Set<Int>
  /// Layers in which positions change nothing (NoPE), as every fourth of SmolLM3's.
  public var unrotatedLayers: Set<Int>
  /// The feed-forward block; its hidden size is the model's.
  public var feedForward: FeedForwardConfiguration
  /// The longest sequence the model is trained or run on.
  public var contextLength: Int
  /// Whether every query and key head has a norm before rotation (QK-norm), as Qwen3's do.
  public var hasQKNorm: Bool
  /// Whether queries, keys and values have biases, as Qwen2's do.
  public var hasQKVBias: Bool
  /// Whether attention's output has a bias.
  public var hasOutputBias: Bool
  /// Added to the mean square in RMSNorm.
  public var normEpsilon: Float
  /// The base of the rotary frequencies.
  public var ropeTheta: Double
  /// How the rotary frequencies are changed.
  public var ropeScaling: RopeScaling?
  /// Whether the output projection is the embedding table.
  public var tiesEmbeddings: Bool
  /// Token ids that end a text.
  public var eosTokenIDs: [Int32]
  /// The token id that a checkpoint names as a text's first, where it is not the first that ends one.
  public var bosTokenID: Int32?
  /// Which of the stock models that can express this one it is written as, if any of them can; see
  /// ``stockFamily``.
  public var family: ModelFamily

  /// Creates a configuration; ``validate()`` checks it.
  public init(
    vocabularySize: Int, layers: Int, attention: AttentionShape,
    unwindowedLayers: Set<Int> = [], unrotatedLayers: Set<Int> = [],
    feedForward: FeedForwardConfiguration, contextLength: Int, hasQKNorm: Bool = false,
    hasQKVBias: Bool = false, hasOutputBias: Bool = false, normEpsilon: Float = 1e-5,
    ropeTheta: Double = 10_000, ropeScaling: RopeScaling? = nil, tiesEmbeddings: Bool = true,
    eosTokenIDs: [Int32] = [], bosTokenID: Int32? = nil, family: ModelFamily = .llama
  ) {
    self.vocabularySize = vocabularySize
    self.layers = layers
    self.attention = attention
    (self.unwindowedLayers, self.unrotatedLayers) = (unwindowedLayers, unrotatedLayers)
    self.feedForward = feedForward
    self.contextLength = contextLength
    self.hasQKNorm = hasQKNorm
    (self.hasQKVBias, self.hasOutputBias) = (hasQKVBias, hasOutputBias)
    self.normEpsilon = normEpsilon
    self.ropeTheta = ropeTheta
    self.ropeScaling = ropeScaling
    self.tiesEmbeddings = tiesEmbeddings
    self.eosTokenIDs = eosTokenIDs
    self.bosTokenID = bosTokenID
    self.family = family
  }

  /// More layers than any model has, each of which is described before memory is counted.
  static let mostLayers = 1 << 16

  /// h.
  public var hiddenSize: Int { feedForward.hiddenSize }

  /// The attention of a layer: its window, unless that is the whole context, and what it rotates.
  public func attention(ofLayer index: Int) -> AttentionShape {
    var shape = attention
    if unwindowedLayers.contains(index) || shape.window.map({ $0 >= contextLength }) == true {
      shape.window = nil
    }
    if unrotatedLayers.contains(index) { shape.rotarySize = 0 }
    return shape
  }

  /// Throws what does not fit.
  public func validate() throws(ConfigurationError) {
    try feedForward.validate()
    for (name, size) in [
      ("vocabulary", vocabularySize), ("number of layers", layers), ("heads", attention.heads),
      ("kv heads", attention.kvHeads), ("context", contextLength),
    ] where size < 1 {
      throw ConfigurationError(.size, "\(name) is \(size): expected at least 1")
    }
    guard layers <= Self.mostLayers else {
      throw ConfigurationError(.size, "\(layers) layers: expected at most \(Self.mostLayers)")
    }
    guard attention.heads % attention.kvHeads == 0 else {
      throw ConfigurationError(
        .size, "\(attention.heads) heads cannot share \(attention.kvHeads) kv heads evenly",
        remedy: "choose a number of kv heads that divides the heads")
    }
    guard attention.headSize > 0, attention.headSize % 2 == 0 else {
      throw ConfigurationError(
        .size, "head size \(attention.headSize): rotary positions need an even one",
        remedy: "choose a hidden size that is an even multiple of the heads")
    }
    guard attention.rotarySize > 0, attention.rotarySize % 2 == 0,
      attention.rotarySize <= attention.headSize
    else {
      throw ConfigurationError(
        .size,
        "\(attention.rotarySize) rotated elements of heads of \(attention.headSize): expected an even "
          + "number up to that")
    }
    if let window = attention.window, window < 1 {
      throw ConfigurationError(.size, "a window of \(window) positions: expected at least 1")
    }
    for index in unwindowedLayers.union(unrotatedLayers) where !(0..<layers).contains(index) {
      throw ConfigurationError(
        .size, "layer \(index) has no window or no rotation: expected 0 to \(layers - 1)")
    }
    guard hasQKVBias || !hasOutputBias else {
      throw ConfigurationError(.size, "a bias of attention's output without those of its inputs")
    }
    guard normEpsilon > 0, normEpsilon.isFinite, ropeTheta > 0, ropeTheta.isFinite else {
      throw ConfigurationError(
        .size, "norm epsilon \(normEpsilon) and rope theta \(ropeTheta): both must be positive")
    }
    try ropeScaling?.validate(pairs: attention.rotarySize / 2)
    try validateTotalSize()
  }

  /// Sizes from a file must not overflow what follows from them.
  private func validateTotalSize() throws(ConfigurationError) {
    let factors = [
      [vocabularySize, hiddenSize],
      [layers, hiddenSize, feedForward.intermediateSize, 18],
      [layers, hiddenSize, attention.heads + 2 * attention.kvHeads, attention.headSize],
      [contextLength, max(hiddenSize, attention.headSize)],
    ]
    for product in factors {
      var total = 1
      for factor in product {
        let (value, overflow) = total.multipliedReportingOverflow(by: factor)
        guard !overflow, value < 1 << 50 else {
          throw ConfigurationError(.size, "the sizes multiply to more than any machine holds")
        }
        total = value
      }
    }
  }
}
