/// The parts of a Llama-style block, whatever stands for them: descriptions of parameters, tensors
/// of training, packed weights of inference.
///
///     y = x + attention(inputNorm(x) qkv^T) output^T
///     result = y + unit(postAttentionNorm(y)) down^T
public struct DecoderLayer<Projection, Norm, Unit> {
  /// RMSNorm before attention `[h]`.
  public var inputNorm: Norm
  /// Wq over Wk over Wv `[(heads + 2 kvHeads) headSize, h]`.
  public var qkv: Projection
  /// RMSNorm of each query head and of each key head before rotation `[headSize]` (QK-norm), where
  /// the model has them.
  public var (queryNorm, keyNorm): (Norm?, Norm?)
  /// Attention's output projection `[h, heads headSize]`.
  public var output: Projection
  /// RMSNorm before the feed-forward block `[h]`.
  public var postAttentionNorm: Norm
  /// The up side of the feed-forward block.
  public var unit: Unit
  /// The down projection `[h, d]`.
  public var down: Projection

  /// A block of these parts.
  public init(
    inputNorm: Norm, qkv: Projection, queryNorm: Norm? = nil, keyNorm: Norm? = nil,
    output: Projection, postAttentionNorm: Norm, unit: Unit, down: Projection
  ) {
    self.inputNorm = inputNorm
    self.qkv = qkv
    (self.queryNorm, self.keyNorm) = (queryNorm, keyNorm)
    self.output = output
    self.postAttentionNorm = postAttentionNorm
    self.unit = unit
    self.down = down
  }

  /// The block with every part replaced, in the order of files.
  public func map<P, N, U, E: Error>(
    projection: (Projection) throws(E) -> P, norm: (Norm) throws(E) -> N,
    unit: (Unit) throws(E) -> U
  ) throws(E) -> DecoderLayer<P, N, U> {
    DecoderLayer<P, N, U>(
      inputNorm: try norm(inputNorm), qkv: try projection(qkv), queryNorm: try queryNorm.map(norm),
      keyNorm: try keyNorm.map(norm), output: try projection(output),
      postAttentionNorm: try norm(postAttentionNorm), unit: try unit(self.unit),
      down: try projection(down))
  }
}

/// The parts of a Llama-style model, whatever stands for them: see ``DecoderLayer``.
public struct DecoderStack<Projection, Norm, Unit> {
  /// A block.
  public typealias Layer = DecoderLayer<Projection, Norm, Unit>

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
  public func map<P, N, U, E: Error>(
    projection: (Projection) throws(E) -> P, norm: (Norm) throws(E) -> N,
    unit: (Unit) throws(E) -> U
  ) throws(E) -> DecoderStack<P, N, U> {
    var layers: [DecoderLayer<P, N, U>] = []
    let embedding = try projection(embedding)
    for layer in self.layers {
      layers.append(try layer.map(projection: projection, norm: norm, unit: unit))
    }
    let finalNorm = try norm(self.norm)
    var head: P?
    if let untiedHead { head = try projection(untiedHead) }
    return DecoderStack<P, N, U>(
      embedding: embedding, layers: layers, norm: finalNorm, untiedHead: head)
  }
}

extension DecoderLayer: Sendable where Projection: Sendable, Norm: Sendable, Unit: Sendable {}
extension DecoderStack: Sendable where Projection: Sendable, Norm: Sendable, Unit: Sendable {}
