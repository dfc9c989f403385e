import MGLUModel

/// AdamW over all parameters of a model: gradients and moments are arenas of the parameters'
/// layout, and a step is one pass each over matrices, mask logits, and norms and biases.
///
/// Matrices, embeddings and mask logits decay; norms and biases do not. Decay shrinks a logit without ever
/// changing its sign, so it flips no mask by itself; it keeps logits small enough that later
/// gradients still can. Fixed masks are outside the trained part and never change.
public struct AdamW: Sendable {
  /// The settings of the optimizer that stay the same over a run.
  public struct Settings: Sendable, Equatable, Codable {
    /// Decay of the first moment.
    public var beta1: Float
    /// Decay of the second moment.
    public var beta2: Float
    /// Added to the root of the second moment.
    public var epsilon: Float
    /// Decoupled decay of everything but norms and biases.
    public var weightDecay: Float
    /// The largest global gradient norm; larger gradients are scaled down to it. 0
    /// lets every gradient be.
    public var clipNorm: Float

    /// Creates settings; the defaults are the paper's (appendix A).
    public init(
      beta1: Float = 0.9, beta2: Float = 0.99, epsilon: Float = 1e-8, weightDecay: Float = 0.1,
      clipNorm: Float = 1
    ) {
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
      self.clipNorm = clipNorm
    }
  }

  /// The settings.
  public let settings: Settings
  /// The gradients of a micro-batch, in whose place those of the next come.
  public let gradients: Gradients
  /// The sum of a step's gradients.
  package let sum: GradientSum
  /// Which part of the parameters each rank steps.
  let shares: ParameterShares
  /// The moments of the own share.
  let firstMoment: ArenaParts
  let secondMoment: ArenaParts
  let communicator: (any Communicator)?
  /// Whether the ranks share the parameters, too.
  private let isSharded: Bool
  private let backend: any TrainingBackend
  private let squaredBlocks: Tensor
  private let squaredNorm: Tensor
  private let hostSquaredNorm: Tensor
  /// What passes read of every rank's share of a stage, by rank.
  private let readParameters: [[[Tensor]]]

  var rank: Int { communicator?.group.rank ?? 0 }

  /// The global norm of the gradients of the last step, before clipping, once the backend is done.
  public var gradientNorm: Double { hostSquaredNorm.doubles[0].squareRoot() }

  /// Fresh state for `model`.
  public init(_ settings: Settings, for model: LanguageModel) {
    self.init(settings, for: model, microBatches: 1, communicator: nil)
  }

  /// Fresh state for `model`, whose steps have several gradients, or are shared by several ranks.
  ///
  /// - Parameters:
  ///   - settings: The settings.
  ///   - model: The model, the same on every rank, or shared by the ranks of `communicator`.
  ///   - microBatches: How many gradients make a step.
  ///   - communicator: What connects the ranks, or `nil` for one.
  package init(
    _ settings: Settings, for model: LanguageModel, microBatches: Int,
    communicator: (any Communicator)?
  ) {
    let backend = model.backend
    self.backend = backend
    self.settings = settings
    self.communicator = communicator
    let shares = ParameterShares(
      of: model.deviceWeights, ranks: communicator?.group.size ?? 1)
    self.shares = shares
    isSharded = model.sharded != nil
    let own = shares.bytes(of: communicator?.group.rank ?? 0)
    gradients =
      if isSharded {
        Gradients(
          backend.allocate {
            ShardedMemory.gradients(of: model.deviceWeights, shares: shares, in: &$0)
          },
          accumulates: false)
      } else {
        Gradients(
          arena: backend.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena,
          accumulates: false)
      }
    sum = GradientSum(
      gradients, shares: shares, microBatches: microBatches, isSharded: isSharded, on: backend,
      communicator: communicator)
    func share() -> ArenaParts { backend.allocate { ArenaParts(own, in: &$0) } }
    firstMoment = share()
    secondMoment = share()
    (squaredBlocks, squaredNorm) = backend.allocate { layout in
      (
        layout.tensor([shares.blockCount], .float64),
        layout.tensor([1], .float64)
      )
    }
    hostSquaredNorm =
      squaredNorm.arena.isHostVisible
      ? squaredNorm : backend.allocateShared { $0.tensor([1], .float64) }
    // Layers of a model that ranks share are gathered when they are read.
    let isSharded = isSharded
    readParameters = shares.stages.enumerated().map { index, stage in
      guard let group = communicator?.group, !isSharded || index == shares.stages.count - 1 else {
        return []
      }
      let runs = stage.map { model.parametersRead(in: $0) }
      return (0..<group.size).map { rank in runs.flatMap { $0[rank] } }
    }
  }

  /// Computes the gradients of a round, and adds them up as they become complete.
  ///
  /// - Parameters:
  ///   - round: The round, from 0.
  ///   - pass: Computes this rank's micro-batch, into the gradients that it is given, and says which
  ///     layer's are complete.
  package func computeGradients(
    round: Int, _ pass: (_ gradients: Gradients, _ completed: (_ layer: Int) -> Void) -> Void
  ) {
    let last = shares.stages.count - 1
    var previous = Milestone.reached
    pass(sum.gradients(ofRound: round)) { layer in
      guard layer < last else { return }
      // The last layer's come first.
      let added = add(last - 1 - layer, round: round)
      // Those of the next layer take the place of the previous one's.
      if isSharded { backend.wait(for: previous) }
      previous = added
    }
    // The next pass writes where this one's gradients are sent from, and a step reads the sums.
    backend.wait(for: add(last, round: round))
  }

  /// Adds a stage of a round's gradients to the sum, beside what is asked for afterwards; in the last
  /// round its sum of squares too.
  private func add(_ stage: Int, round: Int) -> Milestone {
    // Nobody works beside the computation of a single rank.
    guard let communicator else {
      sum.add(stage, round: round)
      return .reached
    }
    return backend.aside {
      sum.add(stage, round: round)
      guard round == sum.rounds - 1 else { return }
      for run in shares.stages[stage] where !run.bytes[rank].isEmpty {
        backend.sumsOfSquares(
          sum.sum.elements(inBytes: run.bytes[rank]), into: squaredBlocks[run.blocks[rank]])
      }
      guard stage == shares.stages.count - 1 else { return }
      communicator.allGather(
        (0..<communicator.group.size).map { rank in
          shares.stages.joined().map { squaredBlocks[$0.blocks[rank]] }
        })
    }
  }

  /// Updates the parameters from the gradients. A ``gradientNorm`` that is not finite changes nothing,
  /// so that its origin can be looked for.
  ///
  /// Each rank updates its share, and gets what passes read of the shares of others: in the order in
  /// which the next pass reads them, while it begins. Layers that ranks share it gets when it reads them.
  ///
  /// - Parameters:
  ///   - model: The model that this state was made for.
  ///   - learningRate: The rate of this step.
  ///   - step: The number of this step, from 1.
  public func step(_ model: LanguageModel, learningRate: Double, step: Int) {
    if communicator == nil {
      backend.sumsOfSquares(sum.sum.elements(inBytes: 0..<shares.byteCount), into: squaredBlocks)
    }
    backend.addSums(squaredBlocks, into: squaredNorm)
    if hostSquaredNorm.arena !== squaredNorm.arena {
      backend.copy(squaredNorm, into: hostSquaredNorm)
    }
    model.sharded?.forget()
    var arrivals: [Milestone] = []
    for stage in shares.stages.indices.reversed() {
      for run in shares.stages[stage] {
        update(model, run.bytes[rank], learningRate: learningRate, step: step)
      }
      let read = readParameters[stage]
      guard let communicator, !read.isEmpty else { continue }
      arrivals.append(backend.aside { communicator.allGather(read, named: "parameters \(stage)") })
    }
    model.expectParameters(arrivals)
    model.sharded?.bring(0)
  }

  private func update(
    _ model: LanguageModel, _ range: Range<Int>, learningRate: Double, step: Int
  ) {
    let weights = model.deviceWeights
    for (bytes, decay) in [
      (weights.productBytes, settings.weightDecay), (weights.logitBytes, settings.weightDecay),
      (weights.vectorBytes, 0),
    ] {
      let bytes = range.clamped(to: bytes)
      if bytes.isEmpty { continue }
      backend.adamW(
        model.masterParameters.elements(inBytes: bytes),
        gradient: sum.sum.elements(inBytes: bytes),
        firstMoment: firstMoment.elements(inBytes: bytes),
        secondMoment: secondMoment.elements(inBytes: bytes), copy: model.productCopies(of: bytes),
        squaredNorm: squaredNorm,
        step: AdamWStep(
          learningRate: Float(learningRate), beta1: settings.beta1, beta2: settings.beta2,
          epsilon: settings.epsilon, weightDecay: decay, step: step, clipNorm: settings.clipNorm))
    }
  }
}
