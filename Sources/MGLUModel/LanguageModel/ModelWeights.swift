/// The parameters of a model as views of one arena.
///
/// Matrices that products read come first, then mask logits, then the norms, then what is not
/// trained (fixed masks): AdamW, its decay, the gradients and narrow copies each cover one
/// contiguous part.
public struct ModelWeights: Sendable {
  /// The token embedding `[V, h]`, V padded with rows of zero where a backend asks for it.
  public let embedding: Tensor
  /// The blocks, first to last.
  public let layers: [LayerWeights]
  /// The final norm `[h]`.
  public let norm: Tensor
  /// The output projection `[V, h]`: the embedding where the two are tied.
  public let head: Tensor

  /// Every matrix that products read: trained, with weight decay.
  public let productBytes: Range<Int>
  /// All learned mask logits: trained, with weight decay.
  public let logitBytes: Range<Int>
  /// Every norm: trained, without weight decay.
  public let normBytes: Range<Int>

  /// Lays the parameters of `configuration` out, with a vocabulary padded to a multiple of
  /// `vocabularyMultiple`.
  public init(
    _ configuration: ModelConfiguration, vocabularyMultiple: Int = 1,
    in layout: inout ArenaLayout
  ) {
    let c = configuration
    let (h, d) = (c.hiddenSize, c.feedForward.intermediateSize)
    let vocabulary =
      (c.vocabularySize + vocabularyMultiple - 1) / vocabularyMultiple * vocabularyMultiple
    embedding = layout.tensor([vocabulary, h])
    head = c.tiesEmbeddings ? embedding : layout.tensor([vocabulary, h])
    var masks: MaskConfiguration?
    if case .mglu(let configuration) = c.feedForward.unit { masks = configuration }
    var matrices: [LayerMatrices] = []
    for _ in 0..<c.layers {
      var router: Tensor?
      let qkv = layout.tensor([c.attention.rowWidth, h])
      let output = layout.tensor([h, c.attention.queryWidth])
      let up = layout.tensor([(c.feedForward.unit == .glu ? 2 : 1) * d, h])
      let down = layout.tensor([h, d])
      if let masks, masks.routerTopK != nil { router = layout.tensor([masks.count, h]) }
      matrices.append(
        LayerMatrices(qkv: qkv, output: output, up: up, down: down, logits: nil, router: router))
    }
    func layOutLogits(_ masks: MaskConfiguration) {
      for index in matrices.indices { matrices[index].logits = layout.tensor([masks.count, d, h]) }
    }
    productBytes = 0..<layout.byteCount
    if let masks, masks.kind == .learned { layOutLogits(masks) }
    logitBytes = productBytes.upperBound..<layout.byteCount
    let norms = (0..<c.layers).map { _ in (layout.tensor([h]), layout.tensor([h])) }
    norm = layout.tensor([h])
    normBytes = logitBytes.upperBound..<layout.byteCount
    if let masks, masks.kind == .fixed { layOutLogits(masks) }
    layers = zip(matrices, norms).map { matrices, norms in
      LayerWeights(matrices, norms: norms, configuration: c.feedForward)
    }
  }

  private init(_ other: ModelWeights, movingProducts place: (Tensor) -> Tensor) {
    embedding = place(other.embedding)
    head = place(other.head)
    layers = other.layers.map { LayerWeights($0, movingProducts: place) }
    norm = other.norm
    (productBytes, logitBytes, normBytes) = (
      other.productBytes, other.logitBytes, other.normBytes
    )
  }

  /// The same weights, but those that products read at their place in `arena`, whose elements are
  /// of `type`.
  func readingProducts(in arena: Arena, as type: DataType) -> ModelWeights {
    ModelWeights(self) { $0.counterpart(in: arena, as: type) }
  }

  /// Every parameter under its Hugging Face name, in a fixed order. Some are parts of a wider
  /// matrix: queries, keys and values of one, gate and value of another.
  public func named(_ configuration: ModelConfiguration) -> [NamedTensor] {
    var result = [
      NamedTensor(ParameterNames.embedding, embedding[0..<configuration.vocabularySize])
    ]
    for (index, layer) in layers.enumerated() {
      result += layer.named(configuration, ParameterNames(layer: index))
    }
    result.append(NamedTensor(ParameterNames.norm, norm))
    if !configuration.tiesEmbeddings {
      result.append(NamedTensor(ParameterNames.head, head[0..<configuration.vocabularySize]))
    }
    return result
  }
}

/// A parameter and its name in a checkpoint.
public struct NamedTensor: Sendable {
  /// As Hugging Face spells it, such as `model.layers.0.mlp.up_proj.weight`.
  public let name: String
  /// The view.
  public let tensor: Tensor

  init(_ name: String, _ tensor: Tensor) {
    self.name = name
    self.tensor = tensor
  }
}

private struct LayerMatrices {
  let qkv: Tensor
  let output: Tensor
  let up: Tensor
  let down: Tensor
  var logits: Tensor?
  let router: Tensor?
}

/// The parameters of one block.
public struct LayerWeights: Sendable {
  /// RMSNorm before attention `[h]`.
  public let inputNorm: Tensor
  /// Wq over Wk over Wv `[(heads + 2 kvHeads) headSize, h]`.
  public let qkv: Tensor
  /// Attention's output projection `[h, heads headSize]`.
  public let output: Tensor
  /// RMSNorm before the feed-forward block `[h]`.
  public let postAttentionNorm: Tensor
  /// The up side of the feed-forward block.
  public let unit: any FeedForwardUnit
  /// The down projection `[h, d]`.
  public let down: Tensor

  fileprivate init(
    _ matrices: LayerMatrices, norms: (Tensor, Tensor), configuration: FeedForwardConfiguration
  ) {
    (inputNorm, postAttentionNorm) = norms
    (qkv, output, down) = (matrices.qkv, matrices.output, matrices.down)
    let activation = configuration.activation
    switch (configuration.unit, matrices.logits) {
    case (.mglu(let masks), let logits?):
      unit = MaskedGatedLinearUnit(
        weight: matrices.up, maskLogits: logits, activation: activation, maskKind: masks.kind,
        ablation: masks.ablation,
        router: matrices.router.map { Router(weight: $0, topK: masks.routerTopK ?? 1) })
    case (.glu, _): unit = GatedLinearUnit(weight: matrices.up, activation: activation)
    case (.sharedGLU, _):
      unit = SharedGatedLinearUnit(weight: matrices.up, activation: activation)
    default: unit = LinearUnit(weight: matrices.up, activation: activation)
    }
  }

  fileprivate init(_ other: LayerWeights, movingProducts place: (Tensor) -> Tensor) {
    (inputNorm, postAttentionNorm) = (other.inputNorm, other.postAttentionNorm)
    (qkv, output, down) = (place(other.qkv), place(other.output), place(other.down))
    unit = other.unit.movingWeights(place)
  }

  fileprivate func named(
    _ configuration: ModelConfiguration, _ names: ParameterNames
  ) -> [NamedTensor] {
    let (q, kv) = (configuration.attention.queryWidth, configuration.attention.kvWidth)
    var result = [
      NamedTensor(names.inputNorm, inputNorm),
      NamedTensor(names.query, qkv[0..<q]),
      NamedTensor(names.key, qkv[q..<q + kv]),
      NamedTensor(names.value, qkv[q + kv..<q + 2 * kv]),
      NamedTensor(names.output, output),
      NamedTensor(names.postAttentionNorm, postAttentionNorm),
    ]
    switch unit {
    case let unit as GatedLinearUnit:
      result.append(NamedTensor(names.gate, unit.gate))
      result.append(NamedTensor(names.up, unit.value))
    case let unit as MaskedGatedLinearUnit:
      result.append(NamedTensor(names.up, unit.weight))
      result.append(NamedTensor(names.maskLogits, unit.maskLogits))
      if let router = unit.router { result.append(NamedTensor(names.router, router.weight)) }
    case let unit as any UnmaskedUnit:
      result.append(NamedTensor(names.up, unit.weight))
    default: break
    }
    result.append(NamedTensor(names.down, down))
    return result
  }
}
