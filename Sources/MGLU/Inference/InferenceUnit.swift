/// A unit for inference: narrow weights, packed masks, one fused kernel from x `[n, h]` to the
/// intermediate activation a `[n, d]`.
///
/// A pass reads every weight and every mask bit once for all rows, and a row's result does not
/// depend on the rows it shares the call with. A unit is a value that views its weights; it may be
/// read from several threads, a backend serves one thread at a time.
public protocol InferenceUnit: Sendable {
  /// The weights and masks in the backend's layout.
  var weights: PackedWeights { get }
  /// The router, where routes are weighted.
  var router: FlashRouter? { get }
}

/// Top-K routing at inference, on float32 weights and exact inputs.
public struct FlashRouter: Sendable {
  let weights: PackedWeights
  let topK: Int

  /// A router over Wr `[n_m, h]`, of which `topK` routes are taken.
  public init(_ matrix: StoredMatrix, topK: Int, on backend: any InferenceBackend) {
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

  /// Lays out the activations of `rows` rows: nothing else grows with the batch.
  public init(
    intermediateSize: Int, routedMasks: Int?, rows: Int, in layout: inout ArenaLayout
  ) {
    output = layout.tensor([rows, intermediateSize])
    routes = routedMasks.map { layout.tensor([rows, $0]) }
    routing = routedMasks.map { layout.tensor([rows, $0]) }
  }

  /// The activations of a unit of `configuration`.
  public init(_ configuration: FeedForwardConfiguration, rows: Int, in layout: inout ArenaLayout) {
    var routedMasks: Int?
    if case .masked(let masks) = configuration.unit, masks.routerTopK != nil {
      routedMasks = masks.count
    }
    self.init(
      intermediateSize: configuration.intermediateSize, routedMasks: routedMasks, rows: rows,
      in: &layout)
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

extension InferenceUnit {
  /// h.
  public var hiddenSize: Int { weights.columns }
  /// d.
  public var intermediateSize: Int { weights.rows }
  /// Bytes that a pass reads.
  public var byteCount: Int { weights.byteCount + (router?.weights.byteCount ?? 0) }

  /// Computes the intermediate activation of x `[n, h]`, normalized first where there is a norm,
  /// into `activations.output` `[n, d]`.
  ///
  /// Cost: ``byteCount`` bytes from memory; nothing is allocated.
  public func forward(
    _ x: Tensor, norm: RMSNorm? = nil, precision: InputPrecision,
    into activations: InferenceActivations, on backend: any InferenceBackend
  ) {
    if let router, let routing = activations.routing, let routes = activations.routes {
      backend.fusedLinear(router.weights, x, norm: norm, precision: .exact, into: routing)
      backend.route(routing, topK: router.topK, into: routes)
    }
    backend.fusedLinear(
      weights, x, norm: norm, routes: activations.routes, precision: precision, accumulate: false,
      into: activations.output)
  }

  /// The intermediate activation a `[n, d]` of x `[n, h]`, in memory of its own that this machine can
  /// read; so must x be.
  public func callAsFunction(
    _ x: Tensor, precision: InputPrecision = .exact, on backend: any InferenceBackend
  ) throws(BackendError) -> Tensor {
    let routedMasks: Int? =
      if router != nil, case .masked(let count, _) = weights.gating { count } else { nil }
    let activations = backend.allocateShared { layout in
      InferenceActivations(
        intermediateSize: intermediateSize, routedMasks: routedMasks, rows: x.rows, in: &layout)
    }
    forward(backend.toDevice(x), precision: precision, into: activations, on: backend)
    try backend.finish()
    return activations.output
  }
}
