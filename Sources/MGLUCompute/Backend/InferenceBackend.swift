/// The operations of a decoder that reads and writes text, named for what they compute.
///
/// Shapes: n rows, h hidden size, d intermediate size, m masks. Weights are narrow
/// (``WeightType``), everything else is float32, row-major.
public protocol InferenceBackend: Backend {
  /// The CPU of this machine: files and conversions are its work, whatever computes.
  var host: CPUBackend { get }
  /// The memory of the device in bytes, or `nil` where it computes in the host's.
  var deviceMemory: (free: Int, total: Int)? { get }
  /// How this backend can store weights.
  var weightTypes: [WeightType] { get }
  /// How it stores weights that are stored as `type`, where nothing is asked for.
  func weightType(for type: WeightType) -> WeightType

  /// Allocates zeroed memory that this machine, too, reads and writes: tokens in, logits out.
  func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result)
  /// The elements of a tensor of the host where this backend computes: the same tensor, or a copy.
  func resident(_ tensor: Tensor) -> Tensor
  /// Brings weights and masks of the host into this backend's own layout; matrices that it can read
  /// where they are stay there.
  ///
  /// - Parameters:
  ///   - planes: W `[d, h]`; for ``Gating/gated`` the gate's and the value's.
  ///   - masks: Bits `[m, d, ceil(h / 8)]`, least significant first, for ``Gating/masked(count:ablation:)``.
  ///   - gating: How products become the unit's output.
  ///   - activation: g.
  ///   - type: How they are stored, of ``weightTypes``.
  func flashWeights(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> FlashWeights
  /// Plain projections x W^T of a common input, one below the other.
  func projection(stacking matrices: [StoredMatrix], as type: WeightType) -> FlashWeights
  /// Remembers the operations of `body`, and returns what computes them: each time anew, on the same
  /// tensors.
  func recording(_ body: @escaping () -> Void) -> () -> Void

  /// FlashMGLU: one pass over weights and bits for all rows of x `[n, h]`, into output `[n, d]`.
  ///
  /// With a norm, x is normalised first. routes `[n, m]` weight the masks. A row's result does not
  /// depend on the rows it shares the call with.
  func flash(
    _ weights: FlashWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    precision: ActivationPrecision, accumulate: Bool, into output: Tensor)

  /// x `[n, h]` = rows of a projection `[V, h]` at `tokens` (int32 `[n]`, each below V).
  func embed(_ tokens: Tensor, table: FlashWeights, into x: Tensor)

  /// Attention of one sequence's new rows over its cache.
  ///
  /// qkv holds the new rows, whose positions (int32 `[n]`) follow one another; their queries and
  /// keys are rotated, keys and values are stored in keys and values `[kvHeads, capacity, headSize]`
  /// at their positions, and each row attends to all before it and to itself. qkv is overwritten.
  func attentionCached(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, keys: Tensor,
    values: Tensor, into output: Tensor)

  /// One row's whole step as one operation, where this backend has that: the bits that the operations
  /// have one by one. Else it does nothing and returns false.
  ///
  /// residual `[1, h]` = the row after all layers of the token (int32 `[1]`) at the position (int32
  /// `[1]`); logits `[1, V]` = what follows, unless they are not wanted.
  func decode(
    _ decoder: CachedDecoder, token: Tensor, position: Tensor, residual: Tensor, logits: Tensor?
  ) -> Bool

  /// routes = softmax over the `topK` largest logits of each row `[n, m]`, 0 elsewhere; of equal
  /// logits the lower index counts as larger.
  func route(_ logits: Tensor, topK: Int, into routes: Tensor)

  /// token (int32 `[1]`) = the choice of `choice` from logits `[1, V]`; both small tensors are shared
  /// (``allocateShared(_:)``), `choice` holds the elements of a ``TokenChoice``. Where no logit is a
  /// number the token is -1. Where a row is to read the token next, it is left for that too.
  func choose(
    _ logits: Tensor, by choice: Tensor, into token: Tensor, preparing next: NextRow?)

  /// Whether operations are computed after their calls return.
  var isAsynchronous: Bool { get }
  /// Waits until a shared token, which was ``TokenChoice/pending``, is chosen, while what was enqueued
  /// later goes on. It is not where the device failed: ``Backend/finish()`` tells.
  func wait(for token: Tensor)
}

/// Where the row that reads a chosen token has it, and its position (int32 `[1]` each): the one after
/// `previous`, which may be the same memory.
public struct NextRow: Sendable {
  let (token, position, previous): (Tensor, Tensor, Tensor)

  /// The row after the one at `previous`.
  public init(token: Tensor, position: Tensor, after previous: Tensor) {
    (self.token, self.position, self.previous) = (token, position, previous)
  }
}

/// The weights of a decoder of unrouted units, and one text's cache.
public struct CachedDecoder: Sendable {
  let (embedding, head): (FlashWeights, FlashWeights)
  let layers: [CachedLayer]
  let norm: RMSNorm
  let shape: AttentionShape
  let table: RotaryTable
  let precision: ActivationPrecision

  /// A decoder; `norm` is before the head, `table` has the rotations of positions.
  public init(
    embedding: FlashWeights, layers: [CachedLayer], norm: RMSNorm, head: FlashWeights,
    shape: AttentionShape, table: RotaryTable, precision: ActivationPrecision
  ) {
    (self.embedding, self.layers, self.norm, self.head) = (embedding, layers, norm, head)
    (self.shape, self.table, self.precision) = (shape, table, precision)
  }
}

/// The weights of a decoder's block, of an unrouted unit, and one text's cache.
public struct CachedLayer: Sendable {
  let (inputNorm, unitNorm): (RMSNorm, RMSNorm)
  let (qkv, output, up, down): (FlashWeights, FlashWeights, FlashWeights, FlashWeights)
  let (keys, values): (Tensor, Tensor)

  /// A layer; keys and values are `[kvHeads, capacity, headSize]`.
  public init(
    inputNorm: RMSNorm, qkv: FlashWeights, output: FlashWeights, unitNorm: RMSNorm,
    up: FlashWeights, down: FlashWeights, keys: Tensor, values: Tensor
  ) {
    (self.inputNorm, self.unitNorm) = (inputNorm, unitNorm)
    (self.qkv, self.output, self.up, self.down) = (qkv, output, up, down)
    (self.keys, self.values) = (keys, values)
  }
}

/// y = weight (.) x / sqrt(mean(x^2) + epsilon), per row.
public struct RMSNorm: Sendable {
  /// The weight `[h]`.
  public let weight: Tensor
  /// Added to the mean square.
  public let epsilon: Float

  /// A norm of a weight `[h]`.
  public init(weight: Tensor, epsilon: Float) {
    self.weight = weight
    self.epsilon = epsilon
  }
}

extension InferenceBackend {
  /// The elements of a tensor where this machine can read them, once all that was enqueued is done:
  /// the same tensor, or a copy.
  public func onHost(_ tensor: Tensor) -> Tensor {
    var result = tensor
    if !tensor.arena.isHostVisible {
      result = host.allocate { $0.tensor(tensor.shape, tensor.dataType) }.1
      copy(tensor, into: result)
    }
    synchronize()
    return result
  }

  public func decode(
    _ decoder: CachedDecoder, token: Tensor, position: Tensor, residual: Tensor, logits: Tensor?
  ) -> Bool { false }

  public var isAsynchronous: Bool { false }

  public func wait(for token: Tensor) {}

  /// The choice of `choice` from logits, which nothing reads next.
  public func choose(_ logits: Tensor, by choice: Tensor, into token: Tensor) {
    choose(logits, by: choice, into: token, preparing: nil)
  }

  /// As they are, or in half precision.
  public func weightType(for type: WeightType) -> WeightType {
    weightTypes.contains(type) ? type : .float16
  }

  /// Throws unless this backend stores weights as `type`.
  public func check(_ type: WeightType) throws(BackendError) {
    if weightTypes.contains(type) { return }
    let names = weightTypes.map(\.rawValue).joined(separator: ", ")
    throw BackendError(
      .weightType, "\(type.rawValue) weights: this device computes with \(names)",
      remedy: "choose one of these")
  }

  /// y = x W^T (+ y), or the intermediate activation of an unrouted unit; see
  /// ``flash(_:_:norm:routes:precision:accumulate:into:)``.
  public func flash(
    _ weights: FlashWeights, _ x: Tensor, norm: RMSNorm? = nil, precision: ActivationPrecision,
    accumulate: Bool = false, into output: Tensor
  ) {
    flash(
      weights, x, norm: norm, routes: nil, precision: precision, accumulate: accumulate,
      into: output)
  }

  /// A plain projection x W^T, stored as the matrix is unless a type is given.
  public func projection(_ matrix: StoredMatrix, as type: WeightType? = nil) -> FlashWeights {
    projection(stacking: [matrix], as: type ?? matrix.type)
  }
}
