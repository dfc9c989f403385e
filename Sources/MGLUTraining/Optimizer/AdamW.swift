import MGLUModel

/// AdamW over all parameters of a model: gradients and moments are arenas of the parameters'
/// layout, and a step is one pass over the matrices and one over the norms.
///
/// Matrices, embeddings and mask logits decay; norms do not. Decay shrinks a logit without ever
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
    /// Decoupled decay of everything but norms.
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
  /// The gradients of a micro-batch, zero after each step.
  public let gradients: Gradients
  /// The sum of a step's gradients.
  package let sum: GradientSum
  /// Which part of the parameters each rank steps.
  let shares: ParameterShares
  /// The moments of the own share.
  let firstMoment: ArenaShare
  let secondMoment: ArenaShare
  let communicator: (any Communicator)?
  private let squaredBlocks: Tensor
  private let squaredNorm: Tensor
  private let hostSquaredNorm: Tensor
  /// What passes read of every rank's share, by rank.
  private let readParameters: [[Tensor]]

  private var own: Range<Int> { shares.bytes[communicator?.group.rank ?? 0] }

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
  ///   - model: The model, the same on every rank.
  ///   - microBatches: How many gradients make a step.
  ///   - communicator: What connects the ranks, or `nil` for one.
  package init(
    _ settings: Settings, for model: LanguageModel, microBatches: Int,
    communicator: (any Communicator)?
  ) {
    let backend = model.backend
    self.settings = settings
    self.communicator = communicator
    let shares = ParameterShares(
      of: model.trainedByteCount, ranks: communicator?.group.size ?? 1,
      block: type(of: backend).squareBlock)
    self.shares = shares
    let own = shares.bytes[communicator?.group.rank ?? 0]
    gradients = Gradients(
      arena: backend.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena)
    sum = GradientSum(
      gradients, byteCount: model.trainedByteCount, shares: shares, microBatches: microBatches,
      on: backend, communicator: communicator)
    func share() -> ArenaShare {
      ArenaShare(
        arena: backend.allocate { $0.tensor([own.count / 4]) }.arena, start: own.lowerBound)
    }
    firstMoment = share()
    secondMoment = share()
    (squaredBlocks, squaredNorm) = backend.allocate { layout in
      (
        layout.tensor([shares.blocks.last?.upperBound ?? 0], .float64),
        layout.tensor([1], .float64)
      )
    }
    hostSquaredNorm =
      squaredNorm.arena.isHostVisible
      ? squaredNorm : backend.allocateShared { $0.tensor([1], .float64) }
    readParameters = communicator == nil ? [] : model.parametersRead(in: shares)
  }

  /// Updates the parameters from the gradients and clears those. A ``gradientNorm`` that is not
  /// finite changes nothing, so that its origin can be looked for.
  ///
  /// Each rank updates its share, and gets what passes read of the shares of others.
  ///
  /// - Parameters:
  ///   - model: The model that this state was made for.
  ///   - learningRate: The rate of this step.
  ///   - step: The number of this step, from 1.
  public func step(_ model: LanguageModel, learningRate: Double, step: Int) {
    let (backend, weights) = (model.backend, model.weights)
    let blocks = shares.blocks.map { squaredBlocks[$0] }
    backend.sumsOfSquares(
      sum.sum.floats(inBytes: own), into: blocks[communicator?.group.rank ?? 0])
    communicator?.allGather(blocks.map { [$0] })
    backend.addSums(squaredBlocks, into: squaredNorm)
    for (bytes, decay) in [
      (weights.productBytes, settings.weightDecay), (weights.logitBytes, settings.weightDecay),
      (weights.vectorBytes, 0),
    ] {
      let bytes = own.clamped(to: bytes)
      if bytes.isEmpty { continue }
      backend.adamW(
        model.masterParameters.floats(inBytes: bytes),
        gradient: sum.sum.floats(inBytes: bytes),
        firstMoment: firstMoment.floats(inBytes: bytes),
        secondMoment: secondMoment.floats(inBytes: bytes), copy: model.productCopies(of: bytes),
        squaredNorm: squaredNorm,
        step: AdamWStep(
          learningRate: Float(learningRate), beta1: settings.beta1, beta2: settings.beta2,
          epsilon: settings.epsilon, weightDecay: decay, step: step, clipNorm: settings.clipNorm))
    }
    communicator?.allGather(readParameters)
    if hostSquaredNorm.arena !== squaredNorm.arena {
      backend.copy(squaredNorm, into: hostSquaredNorm)
    }
  }
}
