/// A unit whose parameters are the wide weights as they are:
///
///     LU          a = g(x W^T)
///     GLU         a = g(x Wg^T) (.) (x Wv^T), SwiGLU under SiLU
///     shared GLU  a = g(x W^T) (.) (x W^T), a control
public struct UnmaskedUnit: FeedForwardUnit {
  /// Which of them.
  public let kind: FeedForwardUnitKind
  /// W `[d, h]`, or Wg over Wv `[2 d, h]`.
  public let weight: Tensor
  /// The gate activation g.
  public let activation: Activation
  /// It has no masks.
  public var masked: MaskedGatedLinearUnit? { nil }

  /// A unit over weight `[d, h]`, or `[2 d, h]` for a GLU.
  ///
  /// - Precondition: it is no MGLU.
  public init(_ kind: FeedForwardUnitKind, weight: Tensor, activation: Activation) {
    precondition(kind.masks == nil, "an MGLU is a MaskedGatedLinearUnit")
    self.kind = kind
    self.weight = weight
    self.activation = activation
  }

  public func wideWeight(scratch: StackScratch, on backend: any TrainingBackend) -> Tensor {
    weight
  }

  public func moving(
    products: (Tensor) -> Tensor, others: (Tensor) -> Tensor
  ) -> UnmaskedUnit {
    UnmaskedUnit(kind, weight: products(weight), activation: activation)
  }

  public func wideGradient(_ gradients: Gradients, scratch: StackScratch) -> WideGradient {
    WideGradient(tensor: gradients[weight], accumulates: gradients.accumulates)
  }

  public func finishGradient(
    _ wide: WideGradient, _ gradients: Gradients, on backend: any TrainingBackend
  ) {}
}
