extension MaskedGatedLinearUnit {
  /// An MGLU with parameters of its own, drawn as the paper says: W from N(0, 1 / (3 h)), mask logits
  /// from 0.01 N(0, 1), so that half of each mask is 1.
  ///
  /// W `[d, h]` and the logits `[n_m, d, h]` are float32 in one arena of `backend`, in which a router
  /// `[n_m, h]` follows them. ``Gradients/init(of:on:)`` lays gradients out alike.
  ///
  /// - Parameters:
  ///   - hiddenSize: h.
  ///   - intermediateSize: d.
  ///   - masks: n_m, 1 to 16.
  ///   - activation: The gate activation g.
  ///   - maskKind: Learned or fixed.
  ///   - ablation: An unmasked factor, as a control.
  ///   - routerTopK: The routes that a router keeps for each token, of all masks.
  ///   - seed: Of the random numbers; equal seeds and sizes give equal layers.
  ///   - backend: Where the parameters lie.
  public init(
    hiddenSize: Int, intermediateSize: Int, masks: Int, activation: Activation = .silu,
    maskKind: MaskConfiguration.Kind = .learned, ablation: MaskAblation? = nil,
    routerTopK: Int? = nil, seed: UInt64 = 0, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    let masks = MaskConfiguration(
      count: masks, kind: maskKind, ablation: ablation, routerTopK: routerTopK)
    let configuration = FeedForwardConfiguration(
      hiddenSize: hiddenSize, intermediateSize: intermediateSize, unit: .mglu(masks),
      activation: activation)
    try configuration.validate()
    guard routerTopK == nil || backend.productType == .float32 else {
      throw ConfigurationError(
        .conflict, "a router of float32 on a device whose products are narrower",
        remedy: "use a LanguageModel, which keeps a copy of its weights for products")
    }
    let parameters = configuration.parameters().all
    func describe(_ layout: inout ArenaLayout) -> [Tensor] {
      parameters.map { layout.tensor($0.shape) }
    }
    let tensors = backend.allocate(describe)
    let drawn = tensors[0].arena.isHostVisible ? tensors : backend.host.allocate(describe)
    for (parameter, tensor) in zip(parameters, drawn) { parameter.initialize(tensor, seed: seed) }
    if drawn[0].arena !== tensors[0].arena {
      backend.copy(drawn[0].arena.floats, into: tensors[0].arena.floats)
      backend.synchronize()
    }
    self.init(
      weight: tensors[0], maskLogits: tensors[1], activation: activation, maskKind: maskKind,
      ablation: ablation, router: routerTopK.map { Router(weight: tensors[2], topK: $0) })
  }
}

extension Gradients {
  /// Gradients of zero for a unit with parameters of its own.
  public init(of unit: some FeedForwardUnit, on backend: any TrainingBackend) {
    let count = unit.weight.arena.byteCount / 4
    self.init(arena: backend.allocate { $0.tensor([count]) }.arena)
  }
}
