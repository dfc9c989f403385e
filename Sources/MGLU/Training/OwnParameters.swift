// Units with parameters of their own: drawn, in one arena, whose gradients lie alike.

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
    guard routerTopK == nil || backend.productType == .float32 else {
      throw ConfigurationError(
        .conflict, "a router of float32 on a device whose products are narrower",
        remedy: "use a LanguageModel, which keeps a copy of its weights for products")
    }
    let own = try FeedForwardConfiguration(
      hiddenSize: hiddenSize, intermediateSize: intermediateSize, unit: .mglu(masks),
      activation: activation
    ).drawnParameters(seed: seed, on: backend)
    self.init(
      weight: own.weight, maskLogits: own.others[0], activation: activation, maskKind: maskKind,
      ablation: ablation, router: routerTopK.map { Router(weight: own.others[1], topK: $0) })
  }
}

extension UnmaskedUnit {
  /// An LU, a GLU or a shared GLU with parameters of its own, the baselines of an MGLU: W `[d, h]`, or a GLU's
  /// gate over its value `[2 d, h]`, float32 from N(0, 1 / (3 h)).
  ///
  /// - Parameters:
  ///   - kind: Which of them; an MGLU is a ``MaskedGatedLinearUnit``.
  ///   - hiddenSize: h.
  ///   - intermediateSize: d.
  ///   - activation: The gate activation g.
  ///   - seed: Of the random numbers. W of an LU is that of an MGLU with the same seed and sizes.
  ///   - backend: Where the parameters lie.
  public init(
    _ kind: FeedForwardUnitKind, hiddenSize: Int, intermediateSize: Int,
    activation: Activation = .silu, seed: UInt64 = 0, on backend: any TrainingBackend
  ) throws(ConfigurationError) {
    guard kind.masks == nil else {
      throw ConfigurationError(
        .conflict, "an MGLU without masks", remedy: "make a MaskedGatedLinearUnit")
    }
    let own = try FeedForwardConfiguration(
      hiddenSize: hiddenSize, intermediateSize: intermediateSize, unit: kind,
      activation: activation
    ).drawnParameters(seed: seed, on: backend)
    self.init(kind, weight: own.weight, activation: activation)
  }
}

extension FeedForwardConfiguration {
  /// The matrices of the up side, one below the other, and what else a unit has, in one arena of `backend`.
  fileprivate func drawnParameters(
    seed: UInt64, on backend: any TrainingBackend
  ) throws(ConfigurationError) -> (weight: Tensor, others: [Tensor]) {
    try validate()
    let parameters = parameters()
    let others = [parameters.maskLogits, parameters.router].compactMap(\.self)
    do {
      try PhysicalMemory.require(
        4 * parameters.all.reduce(0) { $0 + Double($1.count) }, on: backend.deviceMemory,
        for: "the parameters of a unit of \(intermediateSize) x \(hiddenSize)",
        remedy: "choose smaller sizes")
    } catch {
      throw ConfigurationError(.size, error.message, remedy: error.remedy)
    }
    func describe(_ layout: inout ArenaLayout) -> (weight: Tensor, others: [Tensor]) {
      (
        layout.tensor([parameters.up.count * intermediateSize, hiddenSize]),
        others.map { layout.tensor($0.shape) }
      )
    }
    let own = backend.allocate(describe)
    let drawn = own.weight.arena.isHostVisible ? own : backend.host.allocate(describe)
    for (index, parameter) in parameters.up.enumerated() {
      let rows = index * intermediateSize..<(index + 1) * intermediateSize
      parameter.initialize(drawn.weight[rows], seed: seed, on: backend.host)
    }
    for (parameter, tensor) in zip(others, drawn.others) {
      parameter.initialize(tensor, seed: seed, on: backend.host)
    }
    if drawn.weight.arena !== own.weight.arena {
      backend.copy(drawn.weight.arena.floats, into: own.weight.arena.floats)
      backend.synchronize()
    }
    return own
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
