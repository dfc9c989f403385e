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
    do {
      try PhysicalMemory.require(
        4 * parameters.reduce(0) { $0 + Double($1.count) }, on: backend.deviceMemory,
        for: "a unit of \(hiddenSize) x \(intermediateSize) with \(masks.count) masks",
        remedy: "choose smaller sizes")
    } catch {
      throw ConfigurationError(.size, error.message, remedy: error.remedy)
    }
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
  ///
  /// - Precondition: the parameters of the unit were allocated together.
  public init(of unit: some FeedForwardUnit, on backend: any TrainingBackend) {
    let owner = unit.weight.arena
    let others = [unit.masked?.maskLogits, unit.masked?.router?.weight]
    precondition(
      others.allSatisfy { $0 == nil || $0?.arena === owner },
      "the parameters of a unit lie in several arenas: allocate them together")
    let count = owner.byteCount / 4
    self.init(arena: backend.allocate { $0.tensor([count]) }.arena, of: owner)
  }
}
