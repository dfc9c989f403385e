/// MGLU, the mixture of element-wise gates over one matrix (paper, sections 3 and 4):
///
///     a = sum_i g(x (M_i (.) W)^T) (.) (x ((1 - M_i) (.) W)^T),   M_i = 1 where L_i > 0
///
/// With t = x W^T and s_i = x (M_i (.) W)^T the value is t - s_i, so one product with the stack
/// [M_1 (.) W; ...; M_n (.) W; W] gives everything. The gradient of M_i reaches L_i unchanged
/// (straight-through). A logit of exactly 0 is mask 0. SwiMGLU under SiLU, GeMGLU under GELU,
/// ReMGLU under ReLU. With a ``router`` mask i's part is multiplied by its weight p_i, by token.
///
///     let backend = try CPUBackend()
///     let layer = try MaskedGatedLinearUnit(
///       hiddenSize: 128, intermediateSize: 512, masks: 4, on: backend)
///     let a = layer(x, on: backend)                       // [n, 512] of x [n, 128]
public struct MaskedGatedLinearUnit: FeedForwardUnit {
  /// W `[d, h]`.
  public let weight: Tensor
  /// L `[n_m, d, h]`. Fixed masks are logits that receive no gradient.
  public let maskLogits: Tensor
  /// The gate activation g.
  public let activation: Activation
  /// Learned or fixed.
  public let maskKind: MaskConfiguration.Kind
  /// An unmasked factor, as a control.
  public let ablation: MaskAblation?
  /// Weights of the masks by token, where they are routed.
  public let router: Router?

  /// A unit over weight `[d, h]` and mask logits `[n_m, d, h]`.
  ///
  /// - Precondition: the shapes fit each other, and 1 to 16 masks.
  public init(
    weight: Tensor, maskLogits: Tensor, activation: Activation,
    maskKind: MaskConfiguration.Kind = .learned, ablation: MaskAblation? = nil,
    router: Router? = nil
  ) {
    precondition(
      maskLogits.count % max(weight.count, 1) == 0
        && (1...16).contains(maskLogits.count / max(weight.count, 1)),
      "logits \(maskLogits.shape) for weight \(weight.shape): expected [1 to 16, d, h]")
    self.weight = weight
    self.maskLogits = maskLogits
    self.activation = activation
    self.maskKind = maskKind
    self.ablation = ablation
    self.router = router
  }

  /// n_m.
  public var maskCount: Int { maskLogits.count / max(weight.count, 1) }
  /// An MGLU of these masks.
  public var kind: FeedForwardUnitKind {
    .mglu(
      MaskConfiguration(
        count: maskCount, kind: maskKind, ablation: ablation, routerTopK: router?.topK))
  }
  /// Itself.
  public var masked: MaskedGatedLinearUnit? { self }

  /// Products read the stack, not W.
  public func moving(
    products: (Tensor) -> Tensor, others: (Tensor) -> Tensor
  ) -> MaskedGatedLinearUnit {
    MaskedGatedLinearUnit(
      weight: others(weight), maskLogits: others(maskLogits), activation: activation,
      maskKind: maskKind, ablation: ablation, router: router?.moving(products))
  }

  public func wideWeight(scratch: StackScratch, on backend: any TrainingBackend) -> Tensor {
    backend.stackMasked(weight, logits: maskLogits, into: scratch.weight)
    return scratch.weight
  }

  public func wideGradient(_ gradients: Gradients, scratch: StackScratch) -> WideGradient {
    guard let gradient = scratch.gradient else {
      preconditionFailure("scratch laid out for inference was used for training")
    }
    return WideGradient(tensor: gradient, accumulates: false)
  }

  public func finishGradient(
    _ wide: WideGradient, _ gradients: Gradients, on backend: any TrainingBackend
  ) {
    backend.unstackGradient(
      wide.tensor, weight: weight, logits: maskLogits, weightGradient: gradients[weight],
      logitsGradient: maskKind == .learned ? gradients[maskLogits] : nil,
      accumulates: gradients.accumulates)
  }
}
