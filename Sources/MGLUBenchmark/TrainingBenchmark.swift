import MGLUTraining

/// Times whole steps of training, forward, backward, clipping and AdamW, on random tokens, beside the
/// rate of one large product of the same moments.
package struct TrainingBenchmark {
  /// The measurements of one unit.
  package struct Result: Encodable {
    /// The unit, as `mglu compare` names it.
    package let unit: String
    /// Elements of all weights, masks not included.
    package let parameters: Int
    /// The median of all steps.
    package let tokensPerS: Double
    /// Milliseconds of a step: the median, and the fastest.
    package let milliseconds: Double
    package let fastestMilliseconds: Double
    /// The model's arithmetic, attention included, over the time.
    package let tflopPerS: Double
    /// That over the rate of the large product.
    package let percentOfProduct: Double
    /// Bytes of parameters, optimizer and activations.
    package let plannedBytes: Int
    /// The used memory of the GPU after the steps, that of other processes included.
    package let deviceBytes: Int?
    /// The loss of the last step: of random tokens, about ln V.
    package let loss: Double

    enum CodingKeys: String, CodingKey {
      case unit, parameters, milliseconds, loss
      case tokensPerS = "tokens_per_s"
      case fastestMilliseconds = "fastest_milliseconds"
      case tflopPerS = "tflop_per_s"
      case percentOfProduct = "percent_of_product"
      case plannedBytes = "planned_bytes"
      case deviceBytes = "device_bytes"
    }
  }

  package let shape: ModelConfiguration
  package let units: [UnitSpecification]
  package let batchSize: Int
  package let steps: Int
  package let purpose: ActivationPurpose
  package let backend: any TrainingBackend
  package let communicator: (any Communicator)?
  package let isSharded: Bool

  /// A benchmark of `shape` under each of `units`; `steps` are timed after three that are not.
  /// With a `communicator` each rank computes a batch of every step; ranks may share the parameters.
  package init(
    _ shape: ModelConfiguration, units: [UnitSpecification], batchSize: Int, steps: Int,
    purpose: ActivationPurpose, on backend: any TrainingBackend,
    communicator: (any Communicator)? = nil, isSharded: Bool = false
  ) {
    self.communicator = communicator
    self.isSharded = isSharded
    self.shape = shape
    self.units = units
    self.batchSize = batchSize
    self.steps = steps
    self.purpose = purpose
    self.backend = backend
  }

  /// Floating-point operations a second, in 10^12, of a product of two square matrices.
  package func productRate() throws -> Double { try Self.productRate(on: backend) }

  /// The same of a backend.
  package static func productRate(on backend: any TrainingBackend) throws -> Double {
    let size = backend.productType == .float32 ? 2048 : 8192
    let (a, b, c) = backend.allocate { layout in
      (
        layout.tensor([size, size], backend.productType),
        layout.tensor([size, size], backend.productType),
        layout.tensor([size, size], backend.productType)
      )
    }
    // Zeros would be multiplied with less power, and so faster, than numbers are.
    let numbers = backend.host.allocate { $0.tensor([size, size]) }
    var random = Philox(seed: 1, purpose: .synthetic)
    numbers.withMutableFloats { span in
      for index in span.indices {
        span[index] = index < 1 << 20 ? random.nextNormal() : span[index - (1 << 20)]
      }
    }
    let narrow = backend.host.converted(
      StoredMatrix(weights: numbers), to: backend.productType == .float32 ? .float32 : .bfloat16)
    for tensor in [a, b] { backend.copy(narrow.weights, into: tensor) }
    func run() throws -> Double {
      try backend.finish()
      return try ContinuousClock().measure {
        for _ in 0..<4 { backend.multiply(a, b.transposed, into: c) }
        try backend.finish()
      } / .seconds(1)
    }
    _ = try run()
    let times = try (0..<5).map { _ in try run() / 4 }
    return 2 * Double(size * size) * Double(size) / times.sorted()[2] / 1e12
  }

  /// Runs all units, one after the other.
  package func run(productRate: Double, observe: (Result) -> Void) throws -> [Result] {
    try units.map { unit in
      let result = try run(unit, productRate: productRate)
      observe(result)
      return result
    }
  }

  private func run(_ unit: UnitSpecification, productRate: Double) throws -> Result {
    var configuration = shape
    configuration.feedForward.unit = unit.unit
    configuration.feedForward.activation = unit.activation
    let length = configuration.contextLength
    let ranks = communicator?.group.size ?? 1
    let memory = TrainingMemory(
      configuration, sequences: batchSize, length: length, purpose: purpose, microBatches: ranks,
      ranks: ranks, isSharded: isSharded, on: backend)
    try memory.check(on: backend)
    let model = try LanguageModel(
      configuration, sharing: isSharded ? communicator : nil, on: backend)
    model.initialize(seed: 1)
    let optimizer = AdamW(
      AdamW.Settings(), for: model, microBatches: ranks, communicator: communicator)
    if model.sharded != nil {
      try optimizer.scatterParameters(model)
      model.releaseWeights()
    }
    let activations = model.makeActivations(
      sequences: batchSize, length: length, purpose: purpose)
    var random = Philox(seed: 2, purpose: .synthetic)
    let tokens = Double(batchSize * length)
    let scale = Float(1 / (tokens * Double(ranks)))
    var times: [Double] = []
    for step in 1...steps + 3 {
      let ids = (0...batchSize * length).map { _ in
        Int32(random.next() % UInt64(configuration.vocabularySize))
      }
      let duration = try ContinuousClock().measure {
        activations.tokens.assign(integers: ids.dropLast())
        activations.targets.assign(integers: ids.dropFirst())
        optimizer.computeGradients(round: 0) { gradients, completed in
          model.lossAndGradients(activations, into: gradients, scale: scale, completed: completed)
        }
        optimizer.step(model, learningRate: 1e-4, step: step)
        try communicator?.finish()
        try backend.finish()
      }
      if step > 3 { times.append(duration / .seconds(1)) }
    }
    model.completeParameters()
    try communicator?.finish()
    communicator?.forget()
    times.sort()
    let median = times[times.count / 2]
    let flop = configuration.trainingFLOP(length: length) * tokens
    let loss = activations.losses.array.reduce(0) { $0 + Double($1) } / tokens
    return Result(
      unit: unit.description, parameters: configuration.weightCount,
      tokensPerS: tokens * Double(ranks) / median,
      milliseconds: median * 1e3, fastestMilliseconds: times[0] * 1e3,
      tflopPerS: flop / median / 1e12, percentOfProduct: flop / median / productRate / 1e10,
      plannedBytes: memory.total, deviceBytes: backend.deviceMemory.map { $0.total - $0.free },
      loss: loss)
  }
}
