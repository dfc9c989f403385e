/// A Llama-style language model for reading and writing text: narrow weights where they lie, masks
/// as packed bits, every projection and unit one pass over its weights.
///
/// A model is a value that views its weights; several threads may read it, one thread at a time
/// may run its backend.
public struct InferenceModel: Sendable {
  /// The shape; where ranks share the model, that of this rank's share.
  public let configuration: ModelConfiguration
  /// What computes.
  public private(set) var backend: any InferenceBackend
  /// How much of their inputs the products see.
  public let precision: InputPrecision
  /// How matrices are stored: all alike.
  public let weightType: WeightType
  /// What connects the ranks that share the model, where several do.
  public let communicator: (any Communicator)?
  /// The memory of the device in bytes, of which a KV cache may have what is free; where ranks share the
  /// model, the least of theirs when it was loaded. `nil` where the device computes in the host's.
  public var deviceMemory: (free: Int, total: Int)? { sharedMemory ?? backend.deviceMemory }
  private let sharedMemory: (free: Int, total: Int)?
  let stack: DecoderStack<PackedWeights, Tensor, RMSNorm, FusedFeedForward>
  let rotary: RotaryTables

  var embedding: PackedWeights { stack.embedding }
  var layers: [DecoderLayer<PackedWeights, Tensor, RMSNorm, FusedFeedForward>] { stack.layers }
  var norm: RMSNorm { stack.norm }
  var head: PackedWeights { stack.head }

  /// Bytes of weights and mask bits that a token's pass reads; its row of the embedding and the
  /// key-value cache come on top.
  public var byteCountPerToken: Int {
    var bytes = head.byteCount
    for layer in layers {
      _ = layer.map(
        projection: { bytes += $0.byteCount }, bias: { _ in }, norm: { _ in },
        unit: { bytes += $0.byteCount })
    }
    return bytes
  }

  /// The matrices that a token's pass reads, without scales, and masks that lie apart.
  package var matrices: [Tensor] {
    var all: [PackedWeights] = []
    for layer in layers {
      _ = layer.map(
        projection: { all.append($0) }, bias: { _ in }, norm: { _ in },
        unit: { all.append($0.weights) })
    }
    return (all + [head]).flatMap(\.storage.matrices)
  }

  /// A model over the weights of a source.
  ///
  /// Matrices of the wanted type stay where they are; others are converted one by one. By default
  /// that is the type that the source asks for, else that of its embedding, or what the backend stores it as.
  ///
  /// Ranks may share a model, each with a part of every matrix: rank 0 then has the sessions, and the others
  /// follow (``SessionFollower``). All have the same logits, bit for bit where their devices are alike.
  ///
  /// - Parameters:
  ///   - configuration: The shape of the whole model.
  ///   - whole: The weights of the whole model.
  ///   - weights: How to store them.
  ///   - precision: How much of their inputs the products see.
  ///   - backend: What computes.
  ///   - communicator: Connects the ranks that share the model.
  /// - Throws: `CheckpointProblem.disagreement` where there are more ranks than shares.
  public init(
    _ configuration: ModelConfiguration, from whole: some WeightSource,
    weights: WeightType? = nil, precision: InputPrecision = .exact,
    on backend: any InferenceBackend, communicator: (any Communicator)? = nil
  ) throws(CheckpointError) {
    let c: ModelConfiguration
    let source: any WeightSource
    do throws(ConfigurationError) {
      try configuration.validate()
      if let group = communicator?.group {
        let share = try ModelShare(of: configuration, rank: group.rank, size: group.size)
        (c, source) = (share.configuration, SharedWeights(whole: whole, share: share))
      } else {
        (c, source) = (configuration, whole)
      }
      rotary = try RotaryTables(c, on: backend)
    } catch {
      throw CheckpointError(.disagreement, error.message, remedy: error.remedy)
    }
    let table = c.parameterTable
    let stored = try source.matrix(table.embedding[0], on: backend.host)
    let type = weights ?? backend.weightType(for: source.weightType ?? stored.type)
    do { try backend.check(type) } catch { throw CheckpointError(error) }
    self.configuration = c
    self.communicator = communicator
    self.backend = backend
    self.precision = precision
    weightType = type
    func matrix(_ parameter: Parameter) throws(CheckpointError) -> StoredMatrix {
      if parameter == table.embedding[0] { return stored }
      return try source.matrix(parameter, on: backend.host)
    }
    func matrices(_ parameters: [Parameter]) throws(CheckpointError) -> [StoredMatrix] {
      var result: [StoredMatrix] = []
      for parameter in parameters { result.append(try matrix(parameter)) }
      return result
    }
    func projection(_ parameters: [Parameter]) throws(CheckpointError) -> PackedWeights {
      backend.projection(stacking: try matrices(parameters), as: type)
    }
    func bias(_ parameters: [Parameter]) throws(CheckpointError) -> Tensor {
      let whole = backend.host.allocate { layout in
        layout.tensor([parameters.reduce(0) { $0 + $1.count }])
      }
      var first = 0
      for parameter in parameters {
        let part = try source.vector(parameter, on: backend.host)
        backend.host.copy(part, into: whole[first..<first + part.count])
        first += part.count
      }
      return backend.toDevice(whole)
    }
    func norm(_ parameter: Parameter) throws(CheckpointError) -> RMSNorm {
      let weight = try source.vector(parameter, on: backend.host)
      return RMSNorm(weight: backend.toDevice(weight), epsilon: c.normEpsilon)
    }
    func unit(_ parameters: UnitParameters) throws(CheckpointError) -> FusedFeedForward {
      var masks: Tensor?
      var router: StoredMatrix?
      if let logits = parameters.maskLogits {
        masks = try source.masks(of: logits, on: backend.host)
      }
      if let weight = parameters.router { router = try matrix(weight) }
      return FusedFeedForward(
        c.feedForward, matrices: try matrices(parameters.up), masks: masks, router: router,
        as: type, on: backend)
    }
    stack = try table.map(projection: projection, bias: bias, norm: norm, unit: unit)
    do { try backend.finish() } catch { throw CheckpointError(error) }
    guard let group = communicator?.group, let own = backend.deviceMemory else {
      sharedMemory = nil
      return
    }
    do { sharedMemory = (try group.least(own.free), try group.least(own.total)) } catch {
      throw CheckpointError(.backend, error.message, remedy: error.remedy)
    }
  }

  /// The same function as a trained model's, over its weights as `type`.
  ///
  /// It views what needs no conversion, norms and float32 weights, and copies the rest, masks among it: after
  /// further training make another.
  public init(
    _ model: LanguageModel, weights type: WeightType = .float32,
    precision: InputPrecision = .exact
  ) throws(CheckpointError) {
    let backend: any InferenceBackend
    do { backend = try model.backend.requireInference() } catch { throw CheckpointError(error) }
    try self.init(
      model.configuration, from: model, weights: type, precision: precision, on: backend)
  }

  /// The same model, over the same weights in memory, with a backend of its own, so that one thread may run
  /// this and another that one.
  ///
  /// - Parameter backend: What computes the other.
  /// - Throws: `BackendProblem.operation` unless this model is the CPU's, too, and no other ranks' as well.
  public func replica(on backend: CPUBackend) throws(BackendError) -> InferenceModel {
    guard self.backend is CPUBackend, communicator == nil else {
      throw BackendError(
        .operation, "the weights are not this CPU's alone: \(self.backend.summary)",
        remedy: "load the model on each device")
    }
    var replica = self
    replica.backend = backend
    return replica
  }
}
