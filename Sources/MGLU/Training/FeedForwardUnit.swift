/// A unit that can be trained: x `[n, h]` to the intermediate activation a `[n, d]`.
///
/// Every unit is one wide product followed by one fused pass. Its weights are stacked into
/// `[streams * d, h]`, so that the forward pass, dX and dW are a single product each (paper,
/// section 3, with the complement identity).
///
/// A unit is a value that views its parameters; copies share them. Units may be read from several
/// threads; a backend serves one thread at a time.
public protocol FeedForwardUnit: Sendable {
  /// Which unit it is.
  var kind: FeedForwardUnitKind { get }
  /// The gate activation g.
  var activation: Activation { get }
  /// The matrices `[d, h]` of the up side, one below the other: W, or a GLU's gate and value.
  var weight: Tensor { get }
  /// The unit as an MGLU, where it is one.
  var masked: MaskedGatedLinearUnit? { get }

  /// The wide weights `[streams * d, h]`: the parameters themselves, or built into `scratch`.
  func wideWeight(scratch: StackScratch, on backend: any TrainingBackend) -> Tensor
  /// The same unit over other places of those weights that products read as they are, and of the others.
  func moving(products: (Tensor) -> Tensor, others: (Tensor) -> Tensor) -> Self
  /// Where the gradient of the wide weights is to be written or, with ``WideGradient/accumulates``, added.
  func wideGradient(_ gradients: Gradients, scratch: StackScratch) -> WideGradient
  /// Takes the gradient of the wide weights apart into that of the parameters.
  func finishGradient(
    _ wide: WideGradient, _ gradients: Gradients, on backend: any TrainingBackend)
}

extension FeedForwardUnit {
  /// h.
  public var hiddenSize: Int { weight.columns }
  /// d.
  public var intermediateSize: Int { weight.rows / kind.matrices }
  /// How the streams combine.
  public var gating: Gating { kind.gating }
  /// The router `[n_m, h]`, where routes are weighted.
  public var router: Router? { masked?.router }
  /// Each matrix `[d, h]` of the up side.
  public var matrices: [Tensor] {
    let d = intermediateSize
    return (0..<kind.matrices).map { weight[$0 * d..<($0 + 1) * d] }
  }

  /// The configuration that describes this unit.
  public var configuration: FeedForwardConfiguration {
    FeedForwardConfiguration(
      hiddenSize: hiddenSize, intermediateSize: intermediateSize, unit: kind,
      activation: activation)
  }
}

extension FeedForwardConfiguration {
  /// A unit over parameters in memory, which have the shapes of ``parameters(prefix:)``; those of
  /// the up side lie one below the other.
  ///
  /// - Precondition: an MGLU has logits, and a router where its masks are routed.
  public func unit(
    weight: Tensor, maskLogits: Tensor?, router: Tensor?
  ) -> any FeedForwardUnit {
    guard let masks = unit.masks else {
      return UnmaskedUnit(unit, weight: weight, activation: activation)
    }
    guard let maskLogits else { preconditionFailure("an MGLU without mask logits") }
    return MaskedGatedLinearUnit(
      weight: weight, maskLogits: maskLogits, activation: activation, maskKind: masks.kind,
      ablation: masks.ablation,
      router: masks.routerTopK.map { topK in
        guard let router else { preconditionFailure("routed masks without a router") }
        return Router(weight: router, topK: topK)
      })
  }
}

/// The gradient of the wide weights: parameters may accumulate, a scratch stack is overwritten.
public struct WideGradient: Sendable {
  /// `[streams * d, h]`.
  public let tensor: Tensor
  /// Whether products add to it.
  public let accumulates: Bool
}

/// Memory for masked stacks `[(n_m + 1) d, h]`: the weights of the layer at work and their
/// gradient. One is enough for a whole model, because layers run one after the other.
public struct StackScratch: Sendable {
  let weight: Tensor
  let gradient: Tensor?

  /// Lays out what `configuration` needs; nothing but for a masked unit.
  ///
  /// - Parameters:
  ///   - configuration: The unit's.
  ///   - forTraining: Whether there is a gradient, which is float32.
  ///   - type: The type of the weights, that of a backend's products.
  ///   - layout: Where to.
  public init(
    _ configuration: FeedForwardConfiguration, forTraining: Bool = true,
    type: DataType = .float32, in layout: inout ArenaLayout
  ) {
    let rows =
      configuration.unit.masks == nil
      ? 0 : configuration.unit.gating.streams * configuration.intermediateSize
    weight = layout.tensor([rows, configuration.hiddenSize], type)
    gradient = forTraining ? layout.tensor([rows, configuration.hiddenSize]) : nil
  }
}

/// What a unit keeps from its forward for its backward pass.
public struct FeedForwardActivations: Sendable {
  /// The streams `[n, streams * d]`; the backward pass overwrites them with their gradient.
  public let streams: Tensor
  /// The intermediate activation `[n, d]`.
  public let output: Tensor
  /// The route weights `[n, n_m]`, where there is a router.
  public let routes: Tensor?
  /// Router logits, then the gradient of the routes `[n, n_m]`.
  let routing: Tensor?
  /// The gradient of the router logits `[n, n_m]`, a factor of products.
  let routingGradient: Tensor?

  /// Lays out the activations of `rows` tokens, of the type of a backend's products.
  public init(
    _ configuration: FeedForwardConfiguration, rows: Int, type: DataType = .float32,
    in layout: inout ArenaLayout
  ) {
    let width = configuration.intermediateSize
    streams = layout.tensor([rows, configuration.unit.gating.streams * width], type)
    output = layout.tensor([rows, width], type)
    let routed = configuration.unit.masks?.routedCount
    routes = routed.map { layout.tensor([rows, $0]) }
    routing = routed.map { layout.tensor([rows, $0]) }
    routingGradient = routed.map { layout.tensor([rows, $0], type) }
  }

  /// The first `rows` rows, for a shorter batch.
  public func prefix(_ rows: Int) -> FeedForwardActivations {
    FeedForwardActivations(
      streams: streams[0..<rows], output: output[0..<rows], routes: routes?[0..<rows],
      routing: routing?[0..<rows], routingGradient: routingGradient?[0..<rows])
  }

  private init(
    streams: Tensor, output: Tensor, routes: Tensor?, routing: Tensor?, routingGradient: Tensor?
  ) {
    self.streams = streams
    self.output = output
    self.routes = routes
    self.routing = routing
    self.routingGradient = routingGradient
  }
}

extension FeedForwardUnit {
  /// Computes the intermediate activation of x `[n, h]` into `saved.output` `[n, d]`.
  ///
  /// Cost: 2 n streams d h operations in one product; nothing is allocated.
  public func forward(
    _ x: Tensor, saving saved: FeedForwardActivations, scratch: StackScratch,
    on backend: any TrainingBackend
  ) {
    let wide = wideWeight(scratch: scratch, on: backend)
    backend.multiply(x, wide.transposed, into: saved.streams)
    if let router, let routes = saved.routes, let logits = saved.routing {
      backend.multiply(x, router.weight.transposed, into: logits)
      backend.route(logits, topK: router.topK, into: routes)
    }
    backend.combine(
      saved.streams, gating: gating, activation: activation, routes: saved.routes,
      into: saved.output)
  }

  /// From the gradient of the intermediate activation `[n, d]`: adds to the parameters' gradients, or
  /// takes their place where they do not accumulate, and writes dX `[n, h]`. `saved` is used up.
  ///
  /// Cost: 4 n streams d h operations in two products; nothing is allocated.
  public func backward(
    _ upstream: Tensor, x: Tensor, saved: FeedForwardActivations, xGradient: Tensor,
    gradients: Gradients, scratch: StackScratch, on backend: any TrainingBackend
  ) {
    backend.combineBackward(
      upstream, streams: saved.streams, gating: gating, activation: activation,
      routes: saved.routes, streamsGradient: saved.streams, routesGradient: saved.routing)
    let wide = wideWeight(scratch: scratch, on: backend)
    backend.multiply(saved.streams, wide, into: xGradient)
    let wideGradient = wideGradient(gradients, scratch: scratch)
    backend.multiply(
      saved.streams.transposed, x, into: wideGradient.tensor,
      adding: wideGradient.accumulates ? wideGradient.tensor : nil)
    finishGradient(wideGradient, gradients, on: backend)
    if let router, let routes = saved.routes, let routing = saved.routing,
      let logitsGradient = saved.routingGradient
    {
      backend.routeBackward(routing, routes: routes, logitsGradient: logitsGradient)
      backend.multiply(logitsGradient, router.weight, into: xGradient, adding: xGradient)
      let weightGradient = gradients[router.weight]
      backend.multiply(
        logitsGradient.transposed, x, into: weightGradient,
        adding: gradients.accumulates ? weightGradient : nil)
    }
  }

  /// The intermediate activation a `[n, d]` of x `[n, h]`, in memory of its own.
  public func callAsFunction(_ x: Tensor, on backend: any TrainingBackend) -> Tensor {
    let configuration = configuration
    let type = backend.productType
    let (saved, scratch) = backend.allocate { layout in
      (
        FeedForwardActivations(configuration, rows: x.rows, type: type, in: &layout),
        StackScratch(configuration, forTraining: false, type: type, in: &layout)
      )
    }
    forward(x, saving: saved, scratch: scratch, on: backend)
    backend.synchronize()
    return saved.output
  }
}

/// Top-K routing: r = x Wr^T, softmax over the K largest (paper, appendix B.2).
public struct Router: Sendable {
  /// Wr `[n_m, h]`.
  public let weight: Tensor
  /// K.
  public let topK: Int

  /// A router over `weight`.
  public init(weight: Tensor, topK: Int) {
    self.weight = weight
    self.topK = topK
  }

  func moving(_ place: (Tensor) -> Tensor) -> Router {
    Router(weight: place(weight), topK: topK)
  }
}
