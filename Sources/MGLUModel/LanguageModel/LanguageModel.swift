/// A Llama-style language model over one backend: its configuration and its parameters.
///
///     var shape = ModelPreset.nano.configuration
///     shape.feedForward.unit = .mglu(MaskConfiguration(count: 4))
///     let model = try LanguageModel(shape, seed: 1, on: CPUBackend())
///
/// Several threads may read a model, one thread at a time may run it.
public final class LanguageModel: Sendable {
  /// The shape.
  public let configuration: ModelConfiguration
  /// What computes.
  public let backend: any TrainingBackend
  /// The parameters on the host, float32: those that are computed with, or, where the backend's
  /// memory is another, what ``upload()`` and ``download(_:)`` exchange with it.
  public let weights: ModelWeights
  /// The parameters that are computed with: ``masterParameters``, and of what products read
  /// ``productCopies`` where there are any.
  public let deviceWeights: ModelWeights
  /// The memory of every parameter where the backend computes, float32.
  public let masterParameters: Arena
  /// What products read where that is not float32: ``ModelWeights/productBytes`` of
  /// ``masterParameters``, rounded.
  public let productCopies: Arena?
  let rotary: RotaryTables
  // Touched by the one thread that runs the model.
  private nonisolated(unsafe) var arrivals: [Milestone] = []

  /// A model with all parameters zero, to be initialized or loaded.
  public init(
    _ configuration: ModelConfiguration, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try configuration.validate()
    self.configuration = configuration
    self.backend = backend
    rotary = try RotaryTables(configuration, on: backend)
    func describe(_ layout: inout ArenaLayout) -> ModelWeights {
      ModelWeights(
        configuration, vocabularyMultiple: backend.vocabularyMultiple, in: &layout)
    }
    let masters = backend.allocate(describe)
    masterParameters = masters.arena
    weights = masters.arena.isHostVisible ? masters : backend.host.allocate(describe)
    if backend.productType == .float32 {
      productCopies = nil
      deviceWeights = masters
    } else {
      let count = masters.productBytes.count / 4
      let copies = backend.allocate { $0.tensor([count], backend.productType) }.arena
      productCopies = copies
      deviceWeights = masters.readingProducts(in: copies, as: backend.productType)
    }
  }

  /// A model with parameters drawn from `seed`: see ``initialize(seed:)``.
  public convenience init(
    _ configuration: ModelConfiguration, seed: UInt64, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try self.init(configuration, on: backend)
    initialize(seed: seed)
  }

  /// Brings the parameters of the host to where they are computed with.
  public func upload() {
    if masterParameters !== weights.arena {
      backend.copy(weights.arena.floats, into: masterParameters.floats)
    }
    roundCopies()
  }

  /// Makes ``productCopies`` of the float32 parameters.
  package func roundCopies() {
    completeParameters()
    guard let copies = productCopies(of: weights.productBytes) else { return }
    backend.convert(masterParameters.floats(inBytes: weights.productBytes), into: copies)
  }

  /// The narrow copies of a part of ``ModelWeights/productBytes``, or `nil` where there are none of it.
  package func productCopies(of bytes: Range<Int>) -> Tensor? {
    guard let productCopies, weights.productBytes.contains(bytes.lowerBound) else { return nil }
    return productCopies.elements(backend.productType)[bytes.lowerBound / 4..<bytes.upperBound / 4]
  }

  /// Brings the parameters, or those in a part of the arena, back to the host, once all that was
  /// enqueued is done.
  public func download(_ bytes: Range<Int>? = nil) {
    completeParameters()
    if masterParameters !== weights.arena {
      let bytes = bytes ?? 0..<weights.arena.byteCount
      backend.copy(
        masterParameters.floats(inBytes: bytes), into: weights.arena.floats(inBytes: bytes))
    }
    backend.synchronize()
  }

  /// Lets the next pass begin while parameters still arrive from elsewhere.
  ///
  /// - Parameter milestones: What the embedding, and all that is no layer's, waits for; then what each
  ///   layer waits for.
  package func expectParameters(_ milestones: [Milestone]) {
    completeParameters()
    arrivals = milestones
  }

  /// Lets everything from now on wait for the parameters that still arrive.
  package func completeParameters() {
    for milestone in takeArrivals() { backend.wait(for: milestone) }
  }

  func takeArrivals() -> [Milestone] {
    defer { arrivals = [] }
    return arrivals
  }

  /// Every parameter under its Hugging Face name.
  public var namedParameters: [NamedTensor] { weights.named }

  /// The parameters that training changes: all but fixed masks.
  public var trainedParameters: [NamedTensor] { weights.named.filter(\.parameter.isTrained) }

  /// Bytes of the parameters that training changes, which come first in memory.
  public var trainedByteCount: Int { weights.vectorBytes.upperBound }

  /// Draws every parameter: norms 1, mask logits 0.01 N(0, 1) (paper, section 3), matrices
  /// N(0, 1 / (3 fan-in)), the embedding N(0, 0.02^2).
  ///
  /// Each parameter has a stream of its own, keyed by its name: models of different units that
  /// are drawn from one seed share every parameter they both have.
  public func initialize(seed: UInt64) {
    for named in weights.named {
      named.parameter.initialize(named.tensor, seed: seed, on: backend.host)
    }
    upload()
  }

  /// Takes up every parameter of `other` that has a name and a shape of this model's, on the host.
  func copySharedParameters(of other: LanguageModel) {
    let others = Dictionary(uniqueKeysWithValues: other.weights.named.map { ($0.name, $0) })
    for own in weights.named {
      if let found = others[own.name], found.parameter.shape == own.parameter.shape {
        backend.host.copy(found.tensor, into: own.tensor)
      }
    }
  }
}
