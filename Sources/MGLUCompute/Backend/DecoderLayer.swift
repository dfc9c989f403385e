/// The parts of a Llama-style block, whatever stands for them: descriptions of parameters, tensors
/// of training, packed weights of inference.
///
///     y = x + attention(inputNorm(x) qkv^T + qkvBias) output^T + outputBias
///     result = y + unit(postAttentionNorm(y)) down^T
public struct DecoderLayer<Projection, Bias, Norm, Unit> {
  /// The heads of the block's attention, what they see, and what of them is rotated.
  public var attention: AttentionShape
  /// RMSNorm before attention `[h]`.
  public var inputNorm: Norm
  /// Wq over Wk over Wv `[(heads + 2 kvHeads) headSize, h]`.
  public var qkv: Projection
  /// What is added to queries, keys and values `[(heads + 2 kvHeads) headSize]`, where the model has
  /// that.
  public var qkvBias: Bias?
  /// RMSNorm of each query head and of each key head before rotation `[headSize]` (QK-norm), where
  /// the model has them.
  public var (queryNorm, keyNorm): (Norm?, Norm?)
  /// Attention's output projection `[h, heads headSize]`.
  public var output: Projection
  /// What is added to attention's output `[h]`, where the model has that.
  public var outputBias: Bias?
  /// RMSNorm before the feed-forward block `[h]`.
  public var postAttentionNorm: Norm
  /// The up side of the feed-forward block.
  public var unit: Unit
  /// The down projection `[h, d]`.
  public var down: Projection

  /// A block of these parts.
  public init(
    attention: AttentionShape, inputNorm: Norm, qkv: Projection, qkvBias: Bias? = nil,
    queryNorm: Norm? = nil, keyNorm: Norm? = nil, output: Projection, outputBias: Bias? = nil,
    postAttentionNorm: Norm, unit: Unit, down: Projection
  ) {
    self.attention = attention
    self.inputNorm = inputNorm
    (self.qkv, self.qkvBias) = (qkv, qkvBias)
    (self.queryNorm, self.keyNorm) = (queryNorm, keyNorm)
    (self.output, self.outputBias) = (output, outputBias)
    self.postAttentionNorm = postAttentionNorm
    self.unit = unit
    self.down = down
  }

  /// The block with every part replaced, in the order of files.
  public func map<P, B, N, U, E: Error>(
    projection: (Projection) throws(E) -> P, bias: (Bias) throws(E) -> B,
    norm: (Norm) throws(E) -> N, unit: (Unit) throws(E) -> U
  ) throws(E) -> DecoderLayer<P, B, N, U> {
    DecoderLayer<P, B, N, U>(
      attention: attention, inputNorm: try norm(inputNorm), qkv: try projection(qkv),
      qkvBias: try qkvBias.map(bias), queryNorm: try queryNorm.map(norm),
      keyNorm: try keyNorm.map(norm), output: try projection(output),
      outputBias: try outputBias.map(bias), postAttentionNorm: try norm(postAttentionNorm),
      unit: try unit(self.unit), down: try projection(down))
  }
}

/// The parts of a Llama-style model, whatever stands for them: see ``DecoderLayer``.
public struct DecoderStack<Projection, Bias, Norm, Unit> {
  /// A block.
  public typealias Layer = DecoderLayer<Projection, Bias, Norm, Unit>

  /// The token embedding `[V, h]`.
  public var embedding: Projection
  /// The blocks, first to last.
  public var layers: [Layer]
  /// The final norm `[h]`.
  public var norm: Norm
  /// The output projection `[V, h]`, where it is not the embedding.
  public var untiedHead: Projection?

  /// The output projection `[V, h]`: the embedding where the two are tied.
  public var head: Projection { untiedHead ?? embedding }

  /// A model of these parts.
  public init(
    embedding: Projection, layers: [Layer], norm: Norm, untiedHead: Projection?
  ) {
    self.embedding = embedding
    self.layers = layers
    self.norm = norm
    self.untiedHead = untiedHead
  }

  /// The model with every part replaced, in the order of files.
  public func map<P, B, N, U, E: Error>(
    projection: (Projection) throws(E) -> P, bias: (Bias) throws(E) -> B,
    norm: (Norm) throws(E) -> N, unit: (Unit) throws(E) -> U
  ) throws(E) -> DecoderStack<P, B, N, U> {
    var layers: [DecoderLayer<P, B, N, U>] = []
    let embedding = try projection(embedding)
    for layer in self.layers {
      layers.append(try layer.map(projection: projection, bias: bias, norm: norm, unit: unit))
    }
    let finalNorm = try norm(self.norm)
    var head: P?
    if let untiedHead { head = try projection(untiedHead) }
    return DecoderStack<P, B, N, U>(
      embedding: embedding, layers: layers, norm: finalNorm, untiedHead: head)
  }
}

extension DecoderLayer: Sendable
where Projection: Sendable, Bias: Sendable, Norm: Sendable, Unit: Sendable {}
extension DecoderStack: Sendable
where Projection: Sendable, Bias: Sendable, Norm: Sendable, Unit: Sendable {}
