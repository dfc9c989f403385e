/// A feed-forward unit for inference: narrow weights, packed masks, one fused kernel from x `[n, h]`
/// to the intermediate activation a `[n, d]` (for an MGLU the paper's FlashMGLU, section 4.2).
///
///     LU          a = g(x W^T)
///     GLU         a = g(x Wg^T) (.) (x Wv^T)
///     shared GLU  a = g(x W^T) (.) (x W^T)
///     MGLU        a = sum_i p_i g(x (M_i (.) W)^T) (.) (x ((1 - M_i) (.) W)^T)
///
/// A pass reads every weight and every mask bit once for as many rows as the kernel takes together (on a
/// CPU all, on Hopper 128, else 16 columns of input), and a row's result does not depend on the rows it
/// shares the call with. An MGLU takes d h weights and n_m d h bits, and keeps
/// n_m + 1 sums per row in float32. A unit is a value that views its weights; it may be read from
/// several threads, a backend serves one thread at a time.
public struct FusedFeedForward: Sendable {
  /// The weights and masks in the backend's layout.
  public let weights: PackedWeights
  /// The router, where routes are weighted.
  public let router: FusedRouter?

  /// The unit of `configuration` over stored matrices.
  ///
  /// - Parameters:
  ///   - configuration: The kind and activation, and sizes that are those of the matrices.
  ///   - matrices: W `[d, h]`, or the gate's and the value's of a GLU.
  ///   - masks: The bits of an MGLU `[n_m, d, ceil(h / 8)]`, least significant first.
  ///   - router: Wr `[n_m, h]`, where the configuration routes.
  ///   - type: What the matrices are stored as, by default what they are.
  ///   - backend: What computes.
  /// - Precondition: matrices, masks and router are those of the configuration.
  public init(
    _ configuration: FeedForwardConfiguration, matrices: [StoredMatrix], masks: Tensor? = nil,
    router: StoredMatrix? = nil, as type: WeightType? = nil, on backend: any InferenceBackend
  ) {
    let unit = configuration.unit
    precondition(
      matrices.count == unit.matrices, "\(matrices.count) matrices, expected \(unit.matrices)")
    precondition(
      masks?.shape[0] == unit.masks?.count,
      "bits of \(masks?.shape[0] ?? 0) masks, expected \(unit.masks?.count ?? 0)")
    weights = backend.pack(
      matrices, masks: masks, gating: unit.gating, activation: configuration.activation,
      as: type ?? matrices[0].type)
    self.router = unit.masks?.routerTopK.map { topK in
      guard let router else { preconditionFailure("routed masks without a router") }
      return FusedRouter(router, topK: topK, on: backend)
    }
  }

  /// The same function as a trained unit's, over its weights as `type`.
  ///
  /// It views float32 weights and copies the rest, masks among it: after further training make another.
  public init(
    _ unit: some FeedForwardUnit, weights type: WeightType = .float32,
    on backend: any InferenceBackend
  ) {
    self.init(
      unit.configuration, matrices: unit.matrices.map { StoredMatrix(weights: $0) },
      masks: unit.masked.map { MaskBits.pack($0.maskLogits, on: backend.host) },
      router: unit.router.map { StoredMatrix(weights: $0.weight) }, as: type, on: backend)
  }
}

/// Top-K routing at inference, on float32 weights and exact inputs.
public struct FusedRouter: Sendable {
  let weights: PackedWeights
  let topK: Int

  /// A router over Wr `[n_m, h]`, of which `topK` routes are taken.
  init(_ matrix: StoredMatrix, topK: Int, on backend: any InferenceBackend) {
    weights = backend.projection(matrix, as: .float32)
    self.topK = topK
  }
}

/// The results of an inference unit, and what it needs on the way.
public struct InferenceActivations: Sendable {
  /// The intermediate activation `[n, d]`.
  public let output: Tensor
  let routes: Tensor?
  let routing: Tensor?

  /// Lays out the activations of `rows` rows, whose output has a `type`: nothing else grows with the
  /// batch.
  public init(
    intermediateSize: Int, routedMasks: Int?, rows: Int, type: DataType = .float32,
    in layout: inout ArenaLayout
  ) {
    output = layout.tensor([rows, intermediateSize], type)
    routes = routedMasks.map { layout.tensor([rows, $0]) }
    routing = routedMasks.map { layout.tensor([rows, $0]) }
  }

  /// The activations of a unit of `configuration`, whose output has a `type`.
  public init(
    _ configuration: FeedForwardConfiguration, rows: Int, type: DataType = .float32,
    in layout: inout ArenaLayout
  ) {
    self.init(
      intermediateSize: configuration.intermediateSize,
      routedMasks: configuration.unit.masks?.routedCount, rows: rows, type: type, in: &layout)
  }

  /// The same memory for some of the rows.
  public subscript(range: Range<Int>) -> InferenceActivations {
    InferenceActivations(
      output: output[range], routes: routes?[range], routing: routing?[range])
  }

  private init(output: Tensor, routes: Tensor?, routing: Tensor?) {
    (self.output, self.routes, self.routing) = (output, routes, routing)
  }
}

extension FusedFeedForward {
  /// h.
  public var hiddenSize: Int { weights.columns }
  /// d.
  public var intermediateSize: Int { weights.rows }
  /// Bytes that a pass reads.
  public var byteCount: Int { weights.byteCount + (router?.weights.byteCount ?? 0) }

  /// Computes the intermediate activation of x `[n, h]`, normalized first where there is a norm,
  /// into `activations.output` `[n, d]`.
  ///
  /// Cost: ``byteCount`` bytes from memory; nothing is allocated. The last `promptRows` rows of x are
  /// rows of prompts; with a norm, activations lie in these orders.
  public func forward(
    _ x: Tensor, norm: RMSNorm? = nil, promptRows: Int = 0, precision: InputPrecision,
    orders: ColumnOrders = .plain, into activations: InferenceActivations,
    on backend: any InferenceBackend
  ) {
    if let router, let routing = activations.routing, let routes = activations.routes {
      backend.fusedLinear(router.weights, x, norm: norm, precision: .exact, into: routing)
      backend.route(routing, topK: router.topK, into: routes)
    }
    backend.fusedLinear(
      weights, x, norm: norm, routes: activations.routes, promptRows: promptRows,
      precision: precision, accumulate: false, orders: orders, into: activations.output)
  }

  /// The intermediate activation a `[n, d]` of x `[n, h]`, in memory of its own that this machine can
  /// read; so must x be. The last `promptRows` rows of x are rows of prompts.
  public func callAsFunction(
    _ x: Tensor, promptRows: Int = 0, precision: InputPrecision = .exact,
    on backend: any InferenceBackend
  ) throws(BackendError) -> Tensor {
    let routedMasks = router?.weights.rows
    let activations = backend.allocateShared { layout in
      InferenceActivations(
        intermediateSize: intermediateSize, routedMasks: routedMasks, rows: x.rows, in: &layout)
    }
    forward(
      backend.toDevice(x), promptRows: promptRows, precision: precision, into: activations,
      on: backend)
    try backend.finish()
    return activations.output
  }
}
