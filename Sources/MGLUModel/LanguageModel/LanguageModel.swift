import Synchronization

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
  /// The parameters that are computed with: ``masterParameters``, and of what products read
  /// ``productCopies`` where there are any.
  public let deviceWeights: ModelWeights
  /// The memory of every parameter where the backend computes, float32; of the own share where ranks share
  /// them.
  public let masterParameters: ArenaParts
  /// What products read where that is not float32: ``ModelWeights/productBytes`` of
  /// ``masterParameters``, rounded.
  public let productCopies: ArenaParts?
  /// What brings layers to where passes read them, where ranks share the parameters.
  package let sharded: ShardedLayers?
  let rotary: RotaryTables
  /// Those on the host where ranks share them: only where they are asked for.
  private let hostWeights = Mutex<ModelWeights?>(nil)
  /// Those on the host else.
  private let wholeWeights: ModelWeights?
  // Touched by the one thread that runs the model.
  private nonisolated(unsafe) var arrivals: [Milestone] = []

  /// A model with all parameters zero, to be initialized or loaded.
  public convenience init(
    _ configuration: ModelConfiguration, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try self.init(configuration, sharing: nil, on: backend)
  }

  /// A model with all parameters zero, of which each rank keeps a share: `Trainer` gives every rank its
  /// share of what rank 0 initializes or loads.
  ///
  /// - Parameters:
  ///   - configuration: The shape.
  ///   - communicator: What connects the ranks; with `nil`, or one rank, the model is whole.
  ///   - backend: What computes.
  public init(
    _ configuration: ModelConfiguration, sharing communicator: (any Communicator)?,
    on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try configuration.validate()
    self.configuration = configuration
    self.backend = backend
    rotary = try RotaryTables(configuration, on: backend)
    let describe = Self.description(of: configuration, on: backend)
    if let communicator, communicator.group.size > 1 {
      var layout = ArenaLayout()
      let all = describe(&layout)
      let shares = ParameterShares(of: all, ranks: communicator.group.size)
      let memory = ShardedMemory(
        all, shares: shares, rank: communicator.group.rank, productType: backend.productType
      ) { backend.allocate($0) }
      (masterParameters, productCopies) = (memory.masters, memory.copies)
      deviceWeights = all.moving(products: memory.product, others: memory.exact)
      sharded = ShardedLayers(
        all, memory, shares, productType: backend.productType, on: backend,
        communicator: communicator)
      wholeWeights = nil
      return
    }
    sharded = nil
    do {
      try PhysicalMemory.require(
        Double(ArenaLayout.measure { _ = describe(&$0) }), on: backend.deviceMemory,
        for: "the parameters of a model",
        remedy: "choose a smaller model, or share it among ranks")
    } catch {
      throw ConfigurationError(.size, error.message, remedy: error.remedy)
    }
    let masters = backend.allocate(describe)
    masterParameters = ArenaParts(masters.arena)
    wholeWeights = masters.arena.isHostVisible ? masters : backend.host.allocate(describe)
    if backend.productType == .float32 {
      productCopies = nil
      deviceWeights = masters
    } else {
      let (count, type) = (masters.productBytes.count / 4, backend.productType)
      let copies = backend.allocate { $0.tensor([count], type) }.arena
      productCopies = ArenaParts(copies, of: type)
      deviceWeights = masters.moving(
        products: { $0.counterpart(in: copies, as: type) }, others: { $0 })
    }
  }

  private static func description(
    of configuration: ModelConfiguration, on backend: any TrainingBackend
  ) -> (inout ArenaLayout) -> ModelWeights {
    { layout in
      ModelWeights(
        configuration, vocabularyMultiple: backend.vocabularyMultiple, in: &layout)
    }
  }

  /// The parameters on the host, float32: those that are computed with, or, where the backend's
  /// memory is another, what ``upload()`` and ``download(_:)`` exchange with it.
  ///
  /// Where ranks share them, they take memory once they are asked for, zero at first, until a run lets go
  /// of them: rank 0's are what it begins with, and what it has come to at its end.
  public var weights: ModelWeights {
    if let wholeWeights { return wholeWeights }
    return hostWeights.withLock { weights in
      let present =
        weights ?? backend.host.allocate(Self.description(of: configuration, on: backend))
      weights = present
      return present
    }
  }

  /// Whether the parameters on the host are the model's: rank 0's, where ranks share them.
  package var hasHostParameters: Bool { sharded?.communicator.group.isLeader ?? true }

  /// Frees the parameters on the host where ranks share them, until they are asked for again.
  package func releaseWeights() { hostWeights.withLock { $0 = nil } }

  /// A model with parameters drawn from `seed`: see ``initialize(seed:)``.
  public convenience init(
    _ configuration: ModelConfiguration, seed: UInt64, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    try self.init(configuration, on: backend)
    initialize(seed: seed)
  }

  /// Brings the parameters of the host to where they are computed with. Where ranks share them, a run does.
  public func upload() {
    if sharded != nil { return }
    if masterParameters.arena !== weights.arena {
      backend.copy(weights.arena.floats, into: masterParameters.arena.floats)
    }
    roundCopies()
  }

  /// Makes ``productCopies`` of the float32 parameters.
  package func roundCopies() {
    completeParameters()
    guard let copies = productCopies(of: weights.productBytes) else { return }
    backend.convert(masterParameters.elements(inBytes: weights.productBytes), into: copies)
  }

  /// The narrow copies of a part of ``ModelWeights/productBytes``, or `nil` where there are none of it.
  package func productCopies(of bytes: Range<Int>) -> Tensor? {
    guard let productCopies, deviceWeights.productBytes.contains(bytes.lowerBound) else {
      return nil
    }
    return productCopies.elements(inBytes: bytes)
  }

  /// Brings the parameters, or those in a part of the arena, back to the host, once all that was
  /// enqueued is done. Where ranks share them, a run does.
  public func download(_ bytes: Range<Int>? = nil) {
    completeParameters()
    if sharded == nil, masterParameters.arena !== weights.arena {
      let bytes = bytes ?? 0..<weights.arena.byteCount
      backend.copy(
        masterParameters.elements(inBytes: bytes), into: weights.arena.floats(inBytes: bytes))
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
    sharded?.complete()
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
  public var trainedByteCount: Int { deviceWeights.vectorBytes.upperBound }

  /// Draws every parameter: norms 1, mask logits 0.01 N(0, 1) (paper, section 3), matrices
  /// N(0, 1 / (3 fan-in)), the embedding N(0, 0.02^2).
  ///
  /// Each parameter has a stream of its own, keyed by its name: models of different units that
  /// are drawn from one seed share every parameter they both have. Where ranks share the parameters,
  /// rank 0 alone draws them.
  public func initialize(seed: UInt64) {
    guard hasHostParameters else { return }
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
