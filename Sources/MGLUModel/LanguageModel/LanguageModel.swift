/// A Llama-style language model over one backend: its configuration and its parameters.
///
/// A model is a reference to parameters, like the arena it holds: several threads may read it,
/// one thread at a time may run it.
public struct LanguageModel: Sendable {
  /// The shape.
  public let configuration: ModelConfiguration
  /// What computes.
  public let backend: any TrainingBackend
  /// The memory of every parameter, float32, on the host.
  public let arena: Arena
  /// The parameters on the host: those that are computed with, or, where the backend's memory is
  /// another, what ``upload()`` and ``download(_:)`` exchange with it.
  public let weights: ModelWeights
  /// The memory of every parameter where the backend computes, float32.
  public let masters: Arena
  /// What products read where that is not float32: ``ModelWeights/productBytes`` of `masters`,
  /// rounded.
  public let products: Arena?
  /// The parameters that are computed with, in `masters` and `products`.
  public let deviceWeights: ModelWeights
  let rotary: RotaryTable

  /// A model with all parameters zero, to be initialized or loaded.
  public init(
    _ configuration: ModelConfiguration, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try configuration.validate()
    self.configuration = configuration
    self.backend = backend
    rotary = try RotaryTable.of(configuration, on: backend)
    func describe(_ layout: inout ArenaLayout) -> ModelWeights {
      ModelWeights(
        configuration, vocabularyMultiple: backend.vocabularyMultiple, in: &layout)
    }
    let masterWeights = backend.allocate(describe)
    masters = masterWeights.embedding.arena
    weights = masters.isHostVisible ? masterWeights : backend.host.allocate(describe)
    arena = weights.embedding.arena
    if backend.productType == .float32 {
      products = nil
      deviceWeights = masterWeights
    } else {
      let count = masterWeights.productBytes.count / 4
      let arena = backend.allocate { $0.tensor([count], backend.productType) }.arena
      products = arena
      deviceWeights = masterWeights.readingProducts(in: arena, as: backend.productType)
    }
  }

  /// Brings the parameters of the host to where they are computed with.
  public func upload() {
    if masters !== arena { backend.copy(arena.floats, into: masters.floats) }
    if let products {
      backend.convert(
        masters.floats(inBytes: weights.productBytes),
        into: products.elements(backend.productType))
    }
  }

  /// Brings the parameters, or those in a part of the arena, back to the host, once all that was
  /// enqueued is done.
  public func download(_ bytes: Range<Int>? = nil) {
    if masters !== arena {
      let bytes = bytes ?? 0..<arena.byteCount
      backend.copy(masters.floats(inBytes: bytes), into: arena.floats(inBytes: bytes))
    }
    backend.synchronize()
  }

  /// Every parameter under its Hugging Face name.
  public var namedParameters: [NamedTensor] { weights.named(configuration) }

  /// The parameters that training changes: all but fixed masks.
  public var trainedParameters: [NamedTensor] {
    namedParameters.filter { $0.tensor.byteOffset < trainedByteCount }
  }

  /// Bytes of ``arena`` that training changes: matrices and norms.
  public var trainedByteCount: Int { weights.normBytes.upperBound }

  /// Draws every parameter: norms 1, mask logits 0.01 N(0, 1) (paper, section 3), matrices
  /// N(0, 1 / (3 fan-in)), the embedding N(0, 0.02^2).
  ///
  /// Each parameter has a stream of its own, keyed by its name: models of different units that
  /// are drawn from one seed share every parameter they both have.
  public func initialize(seed: UInt64) {
    for parameter in namedParameters {
      let tensor = parameter.tensor
      if parameter.name.hasSuffix("norm.weight") {
        tensor.assign(repeatElement(1, count: tensor.count))
        continue
      }
      let deviation: Float =
        if parameter.name.hasSuffix("mask_logits") {
          0.01
        } else if parameter.name.hasSuffix(
          "embed_tokens.weight")
        { 0.02 } else { 1 / (3 * Float(tensor.columns)).squareRoot() }
      var random = Philox(
        seed: seed, purpose: .initialization, step: stableHash(parameter.name))
      tensor.withMutableFloats { elements in
        for index in elements.indices { elements[index] = random.nextNormal() * deviation }
      }
    }
    upload()
  }

  /// FNV-1a of a name: a key that no change of order or of standard library alters.
  private func stableHash(_ name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
