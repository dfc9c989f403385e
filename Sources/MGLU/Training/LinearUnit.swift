/// A unit whose parameters are already the wide weights: LU, GLU and shared GLU.
public protocol UnmaskedUnit: FeedForwardUnit {
  /// `[streams * d, h]`.
  var weight: Tensor { get }

  /// A unit over its weights and a gate activation.
  init(weight: Tensor, activation: Activation)
}

extension UnmaskedUnit {
  /// h.
  public var hiddenSize: Int { weight.columns }
  /// d.
  public var intermediateSize: Int { weight.rows / gating.streams }
  /// Unmasked units have one route.
  public var router: Router? { nil }

  public func wideWeight(scratch: StackScratch, on backend: any TrainingBackend) -> Tensor {
    weight
  }

  public func movingWeights(_ place: (Tensor) -> Tensor) -> Self {
    Self(weight: place(weight), activation: activation)
  }

  public func wideGradient(_ gradients: Gradients, scratch: StackScratch) -> WideGradient {
    WideGradient(tensor: gradients[weight], accumulates: true)
  }

  public func finishGradient(
    _ wide: WideGradient, _ gradients: Gradients, on backend: any TrainingBackend
  ) {}
}

/// LU, the plain feed-forward layer: a = g(x W^T).
public struct LinearUnit: UnmaskedUnit {
  /// W `[d, h]`.
  public let weight: Tensor
  /// The gate activation g.
  public let activation: Activation
  /// How the streams combine.
  public var gating: Gating { .linear }

  /// A unit over weight `[d, h]`.
  public init(weight: Tensor, activation: Activation) {
    self.weight = weight
    self.activation = activation
  }
}

/// The control with one unmasked matrix as gate and value: a = g(x W^T) (.) (x W^T).
public struct SharedGatedLinearUnit: UnmaskedUnit {
  /// W `[d, h]`.
  public let weight: Tensor
  /// The gate activation g.
  public let activation: Activation
  /// How the streams combine.
  public var gating: Gating { .shared }

  /// A unit over weight `[d, h]`.
  public init(weight: Tensor, activation: Activation) {
    self.weight = weight
    self.activation = activation
  }
}

/// GLU: a = g(x Wg^T) (.) (x Wv^T); SwiGLU under SiLU.
public struct GatedLinearUnit: UnmaskedUnit {
  /// Wg over Wv, `[2 d, h]`.
  public let weight: Tensor
  /// The gate activation g.
  public let activation: Activation
  /// How the streams combine.
  public var gating: Gating { .gated }

  /// A unit over the gate's weights stacked on the value's, `[2 d, h]`.
  public init(weight: Tensor, activation: Activation) {
    self.weight = weight
    self.activation = activation
  }

  /// Wg `[d, h]`.
  public var gate: Tensor { weight[0..<intermediateSize] }
  /// Wv `[d, h]`.
  public var value: Tensor { weight[intermediateSize..<2 * intermediateSize] }
}
