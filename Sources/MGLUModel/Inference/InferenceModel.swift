/// A Llama-style language model for reading and writing text: narrow weights where they lie, masks
/// as packed bits, every projection and unit one pass over its weights.
///
/// A model is a value that views its weights; several threads may read it, one thread at a time
/// may run its backend.
public struct InferenceModel: Sendable {
  /// The shape.
  public let configuration: ModelConfiguration
  /// What computes.
  public let backend: any InferenceBackend
  /// How much of their inputs the products see.
  public let precision: InputPrecision
  /// How matrices are stored: all alike.
  public let weightType: WeightType
  let embedding: PackedWeights
  let layers: [Layer]
  let norm: RMSNorm
  let head: PackedWeights
  let rotary: RotaryTable

  /// The weights of one block.
  struct Layer: Sendable {
    let inputNorm: RMSNorm
    let qkv: PackedWeights
    let output: PackedWeights
    let postAttentionNorm: RMSNorm
    let unit: any InferenceUnit
    let down: PackedWeights
  }

  /// Bytes of weights and mask bits that a token's pass reads; its row of the embedding and the
  /// key-value cache come on top.
  public var byteCountPerToken: Int {
    layers.reduce(head.byteCount) { bytes, layer in
      bytes + layer.qkv.byteCount + layer.output.byteCount + layer.unit.byteCount
        + layer.down.byteCount
    }
  }

  /// The matrices that a token's pass reads, without scales, and masks that lie apart.
  package var matrices: [Tensor] {
    let all = layers.flatMap { [$0.qkv, $0.output, $0.unit.weights, $0.down] } + [head]
    return all.flatMap(\.storage.matrices)
  }

  /// A model over the weights of `source`.
  ///
  /// Matrices of the wanted type stay where they are; others are converted one by one. By default
  /// that is the type of the embedding of `source`, or what the backend stores it as.
  public init(
    _ configuration: ModelConfiguration, from source: some WeightSource,
    weights: WeightType? = nil, precision: InputPrecision = .exact,
    on backend: any InferenceBackend
  ) throws(CheckpointError) {
    let c = configuration
    do throws(ConfigurationError) {
      try c.validate()
      rotary = try RotaryTable.of(c, on: backend)
    } catch {
      throw CheckpointError(.disagreement, error.message, remedy: error.remedy)
    }
    let stored = try source.matrix(
      ParameterNames.embedding, rows: c.vocabularySize, columns: c.hiddenSize, on: backend.host)
    let type = weights ?? backend.weightType(for: stored.type)
    do { try backend.check(type) } catch { throw CheckpointError(error) }
    let loader = WeightLoader(source: source, type: type, backend: backend)
    self.configuration = c
    self.backend = backend
    self.precision = precision
    weightType = loader.type
    embedding = backend.projection(stored, as: loader.type)
    head =
      c.tiesEmbeddings
      ? embedding
      : try loader.projection(ParameterNames.head, c.vocabularySize, c.hiddenSize)
    norm = try loader.norm(ParameterNames.norm, c)
    var layers: [Layer] = []
    for index in 0..<c.layers { layers.append(try Layer(c, ParameterNames(layer: index), loader)) }
    self.layers = layers
    do { try backend.finish() } catch { throw CheckpointError(error) }
  }

  /// The same function as a trained model's, over its weights as `type`.
  public init(
    _ model: LanguageModel, weights type: WeightType = .float32,
    precision: InputPrecision = .exact
  ) throws(CheckpointError) {
    let backend: any InferenceBackend
    do { backend = try model.backend.requireInference() } catch { throw CheckpointError(error) }
    try self.init(
      model.configuration, from: model, weights: type, precision: precision, on: backend)
  }
}

/// A source, and the type its matrices are wanted in.
private struct WeightLoader<Source: WeightSource> {
  let source: Source
  let type: WeightType
  let backend: any InferenceBackend

  func matrix(_ name: String, _ rows: Int, _ columns: Int) throws(CheckpointError) -> StoredMatrix {
    try source.matrix(name, rows: rows, columns: columns, on: backend.host)
  }

  func norm(_ name: String, _ c: ModelConfiguration) throws(CheckpointError) -> RMSNorm {
    let weight = try source.vector(name, count: c.hiddenSize, on: backend.host)
    return RMSNorm(weight: backend.toDevice(weight), epsilon: c.normEpsilon)
  }

  func projection(
    _ name: String, _ rows: Int, _ columns: Int
  ) throws(CheckpointError) -> PackedWeights {
    backend.projection(try matrix(name, rows, columns), as: type)
  }

  func unit(
    _ c: FeedForwardConfiguration, _ names: ParameterNames
  ) throws(CheckpointError) -> any InferenceUnit {
    let (d, h) = (c.intermediateSize, c.hiddenSize)
    let up = try matrix(names.up, d, h)
    switch c.unit {
    case .lu: return FlashLU(up, as: type, activation: c.activation, on: backend)
    case .sharedGLU:
      return FlashLU(up, as: type, activation: c.activation, isShared: true, on: backend)
    case .glu:
      return FlashGLU(
        gate: try matrix(names.gate, d, h), value: up, as: type, activation: c.activation,
        on: backend)
    case .mglu(let masks):
      var router: FlashRouter?
      if let topK = masks.routerTopK {
        router = FlashRouter(try matrix(names.router, masks.count, h), topK: topK, on: backend)
      }
      return FlashMGLU(
        up,
        masks: try source.masks(
          ofLogits: names.maskLogits, shape: [masks.count, d, h], on: backend.host),
        as: type, activation: c.activation, ablation: masks.ablation, router: router, on: backend)
    }
  }
}

extension InferenceModel.Layer {
  fileprivate init(
    _ c: ModelConfiguration, _ names: ParameterNames, _ loader: WeightLoader<some WeightSource>
  ) throws(CheckpointError) {
    let (h, shape) = (c.hiddenSize, c.attention)
    inputNorm = try loader.norm(names.inputNorm, c)
    qkv = loader.backend.projection(
      stacking: [
        try loader.matrix(names.query, shape.queryWidth, h),
        try loader.matrix(names.key, shape.kvWidth, h),
        try loader.matrix(names.value, shape.kvWidth, h),
      ], as: loader.type)
    output = try loader.projection(names.output, h, shape.queryWidth)
    postAttentionNorm = try loader.norm(names.postAttentionNorm, c)
    unit = try loader.unit(c.feedForward, names)
    down = try loader.projection(names.down, h, c.feedForward.intermediateSize)
  }
}
