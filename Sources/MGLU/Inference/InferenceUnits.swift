/// FlashMGLU: an MGLU for inference, W read once with one bit per element and mask
/// (paper, section 4.2).
///
///     a = sum_i p_i g(x (M_i (.) W)^T) (.) (x ((1 - M_i) (.) W)^T)
///
/// W `[d, h]` of any `WeightType`; masks `[n_m, d, ceil(h / 8)]`, n_m = 1 to 16. A pass reads
/// d h weights and n_m d h bits; n_m + 1 sums per row are kept in float32.
public struct FlashMGLU: InferenceUnit {
  /// W and the masks.
  public let weights: PackedWeights
  /// The router, where routes are weighted.
  public let router: FlashRouter?

  /// A unit over a stored matrix and mask bits `[n_m, d, ceil(h / 8)]`, least significant first;
  /// the weights become `type` where that is given.
  ///
  /// - Precondition: the shapes fit each other, and 1 to 16 masks.
  public init(
    _ weight: StoredMatrix, masks: Tensor, as type: WeightType? = nil, activation: Activation,
    ablation: MaskAblation? = nil, router: FlashRouter? = nil, on backend: any InferenceBackend
  ) {
    let count = masks.shape[0]
    precondition((1...16).contains(count), "\(count) masks: expected 1 to 16")
    weights = backend.pack(
      [weight], masks: masks, gating: .masked(count: count, ablation: ablation),
      activation: activation, as: type ?? weight.type)
    self.router = router
  }

  /// The same function as a trained layer's, over its weights as `type`.
  public init(
    _ layer: MaskedGatedLinearUnit, weights type: WeightType = .float32,
    on backend: any InferenceBackend
  ) {
    self.init(
      StoredMatrix(weights: layer.weight),
      masks: MaskBits.pack(layer.maskLogits, on: backend.host), as: type,
      activation: layer.activation, ablation: layer.ablation,
      router: layer.router.map {
        FlashRouter(StoredMatrix(weights: $0.weight), topK: $0.topK, on: backend)
      }, on: backend)
  }
}

/// A GLU for inference: a = g(x Wg^T) (.) (x Wv^T), both matrices in one pass.
public struct FlashGLU: InferenceUnit {
  /// Wg and Wv `[d, h]`.
  public let weights: PackedWeights
  /// A GLU has one route.
  public var router: FlashRouter? { nil }

  /// A unit over the gate's and the value's weights `[d, h]`.
  public init(
    gate: StoredMatrix, value: StoredMatrix, as type: WeightType? = nil, activation: Activation,
    on backend: any InferenceBackend
  ) {
    weights = backend.pack(
      [gate, value], masks: nil, gating: .gated, activation: activation, as: type ?? gate.type)
  }

  /// The same function as a trained layer's, over its weights as `type`.
  public init(
    _ layer: GatedLinearUnit, weights type: WeightType = .float32,
    on backend: any InferenceBackend
  ) {
    self.init(
      gate: StoredMatrix(weights: layer.gate), value: StoredMatrix(weights: layer.value), as: type,
      activation: layer.activation, on: backend)
  }
}

/// LU for inference, a = g(x W^T), or its control a = g(x W^T) (.) (x W^T).
public struct FlashLU: InferenceUnit {
  /// W `[d, h]`.
  public let weights: PackedWeights
  /// LU has one route.
  public var router: FlashRouter? { nil }

  /// A unit over W `[d, h]`; `isShared` makes it its own gate and value.
  public init(
    _ weight: StoredMatrix, as type: WeightType? = nil, activation: Activation,
    isShared: Bool = false, on backend: any InferenceBackend
  ) {
    weights = backend.pack(
      [weight], masks: nil, gating: isShared ? .shared : .linear, activation: activation,
      as: type ?? weight.type)
  }

  /// The same function as a trained layer's, over its weights as `type`.
  public init(
    _ layer: LinearUnit, weights type: WeightType = .float32, on backend: any InferenceBackend
  ) {
    self.init(
      StoredMatrix(weights: layer.weight), as: type, activation: layer.activation, on: backend)
  }

  /// The same function as a trained layer's, over its weights as `type`.
  public init(
    _ layer: SharedGatedLinearUnit, weights type: WeightType = .float32,
    on backend: any InferenceBackend
  ) {
    self.init(
      StoredMatrix(weights: layer.weight), as: type, activation: layer.activation, isShared: true,
      on: backend)
  }
}
