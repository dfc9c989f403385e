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
  /// The gradients, zero after each step.
  public let gradients: Gradients
  let firstMoment: Arena
  let secondMoment: Arena
  private let squaredNorm: Tensor
  private let hostSquaredNorm: Tensor

  /// The global norm of the gradients of the last step, before clipping, once the backend is done.
  public var gradientNorm: Double { hostSquaredNorm.doubles[0].squareRoot() }

  /// Fresh state for `model`.
  public init(_ settings: Settings, for model: LanguageModel) {
    self.settings = settings
    let count = model.trainedByteCount / 4
    func arena() -> Arena { model.backend.allocate { $0.tensor([count]) }.arena }
    gradients = Gradients(arena: arena())
    firstMoment = arena()
    secondMoment = arena()
    squaredNorm = model.backend.allocate { $0.tensor([1], .float64) }
    hostSquaredNorm =
      squaredNorm.arena.isHostVisible
      ? squaredNorm : model.backend.allocateShared { $0.tensor([1], .float64) }
  }

  /// Updates the parameters from the gradients and clears those. A ``gradientNorm`` that is not
  /// finite changes nothing, so that its origin can be looked for.
  ///
  /// - Parameters:
  ///   - model: The model that this state was made for.
  ///   - learningRate: The rate of this step.
  ///   - step: The number of this step, from 1.
  public func step(_ model: LanguageModel, learningRate: Double, step: Int) {
    let (backend, weights) = (model.backend, model.weights)
    backend.sumOfSquares(
      gradients.arena.floats(inBytes: 0..<model.trainedByteCount), into: squaredNorm)
    for (bytes, decay, copy) in [
      (
        weights.productBytes, settings.weightDecay,
        model.productCopies?.elements(backend.productType)
      ),
      (weights.logitBytes, settings.weightDecay, nil), (weights.vectorBytes, 0, nil),
    ] where !bytes.isEmpty {
      backend.adamW(
        model.masterParameters.floats(inBytes: bytes),
        gradient: gradients.arena.floats(inBytes: bytes),
        firstMoment: firstMoment.floats(inBytes: bytes),
        secondMoment: secondMoment.floats(inBytes: bytes), copy: copy, squaredNorm: squaredNorm,
        step: AdamWStep(
          learningRate: Float(learningRate), beta1: settings.beta1, beta2: settings.beta2,
          epsilon: settings.epsilon, weightDecay: decay, step: step, clipNorm: settings.clipNorm))
    }
    if hostSquaredNorm.arena !== squaredNorm.arena {
      backend.copy(squaredNorm, into: hostSquaredNorm)
    }
  }
}
