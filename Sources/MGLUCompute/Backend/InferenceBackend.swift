/// The operations of a model that reads and writes sequences, named for what they compute.
///
/// Shapes: n rows, h hidden size, d intermediate size, m masks, V vocabulary. Weights are narrow
/// (``WeightType``) and in a layout that only the backend knows (``PackedWeights``), everything else
/// is float32, row-major, but for activations and KV caches where a backend chooses
/// (``activationType(weights:precision:)``, ``cacheType(weights:precision:)``).
public protocol InferenceBackend: Backend {
  // Weights --------------------------------------------------------------------------------------

  /// How this backend can store weights.
  var weightTypes: [WeightType] { get }
  /// How it stores weights that are stored as `type`, where nothing is asked for.
  func weightType(for type: WeightType) -> WeightType
  /// Brings weights and masks of the host into this backend's own layout; matrices that it can read
  /// where they are stay there.
  ///
  /// - Parameters:
  ///   - planes: W `[d, h]`; for ``Gating/gated`` the gate's and the value's.
  ///   - masks: Bits `[m, d, ceil(h / 8)]`, least significant first, for ``Gating/masked(count:ablation:)``.
  ///   - gating: How products become the unit's output.
  ///   - activation: g.
  ///   - type: How they are stored, of ``weightTypes``.
  func pack(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> PackedWeights
  /// Plain projections x W^T of a common input, one below the other.
  func projection(stacking matrices: [StoredMatrix], as type: WeightType) -> PackedWeights

  // Products -------------------------------------------------------------------------------------

  /// FlashMGLU: one pass over weights and bits for all rows of x `[n, h]`, into output `[n, d]`.
  ///
  /// With a norm, x is normalized first. routes `[n, m]` weight the masks. A row's result does not
  /// depend on the rows it shares the call with. The last `promptRows` rows are rows of prompts: where
  /// many rows are computed in another way than single ones, these are, be they many or few. Rows lie
  /// in these orders: those of output where there is a norm, else those of x.
  func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?, promptRows: Int,
    precision: InputPrecision, accumulate: Bool, orders: ColumnOrders, into output: Tensor)
  /// The orders of rows of `width` columns, of which `decodeRows` decode, that an operation leaves for a
  /// projection of a type; of heads of `headSize` columns, where that operation is attention.
  func columnOrders(
    decodeRows: Int, width: Int, headSize: Int?, weights: WeightType, precision: InputPrecision
  ) -> ColumnOrders
  /// The weights whose products see narrowed inputs at ``InputPrecision/reduced``; the others take
  /// inputs as they are at any precision.
  var typesOfNarrowInputs: Set<WeightType> { get }
  /// Whether sums of products of 16-bit weights drop what lies below the last bit, as tensor cores
  /// do, in place of rounding it.
  var truncatesSums: Bool { get }

  // Embedding ------------------------------------------------------------------------------------

  /// x `[n, h]` = rows of a projection `[V, h]` at `tokens` (int32 `[n]`, each below V).
  func embed(_ tokens: Tensor, table: PackedWeights, into x: Tensor)

  // Attention ------------------------------------------------------------------------------------

  /// x = weight (.) x / sqrt(mean(x^2) + epsilon), in place, for each of the `parts` of each row of x,
  /// float32; of whole rows where there are none.
  func rmsNormInPlace(_ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float)

  /// The type of the elements of a KV cache beside weights of a type, at a precision of inputs.
  func cacheType(weights: WeightType, precision: InputPrecision) -> DataType
  /// The positions of a block of a KV cache (``KeyValueBlocks/blockSize``).
  var cacheBlockSize: Int { get }
  /// Attention of the rows of a step over the caches of their sequences.
  ///
  /// Queries and keys of qkv `[n, rowWidth]` are rotated by their positions, keys and values are stored
  /// in the cache, rounded to its type, and each row attends to itself and to the rows of its sequence
  /// before it, or to those in the ``AttentionShape/window``, as the cache holds them. qkv is
  /// overwritten. A row's result depends on whether it decodes, and on nothing else of the step.
  ///
  /// - Parameters:
  ///   - qkv: Queries, keys and values of the rows.
  ///   - shape: The heads, what they see, and what of them is rotated.
  ///   - rows: The sequences and positions of the rows.
  ///   - table: The rotations of positions.
  ///   - cache: The layer's keys and values.
  ///   - orders: How the rows of output lie.
  ///   - output: What the heads find `[n, queryWidth]`.
  func attention(
    _ qkv: Tensor, shape: AttentionShape, rows: AttentionRows, table: RotaryTable,
    cache: KeyValueBlocks, orders: ColumnOrders, into output: Tensor)

  // Decode step ----------------------------------------------------------------------------------

  /// The whole step of one row that decodes as one operation, where this backend has that: the bits
  /// that the operations have one by one. Else it does nothing and returns false.
  ///
  /// residual `[1, h]` = the row after all layers of the token (int32 `[1]`) at the position (int32
  /// `[1]`); logits `[1, V]` = what follows, unless they are not wanted.
  func decode(
    _ model: FusedDecodeModel, token: Tensor, position: Tensor, residual: Tensor, logits: Tensor?
  ) -> Bool

  // Rows of a step ---------------------------------------------------------------------------------

  /// target `[n, width]` = the rows of source `[m, width]`, of 4-byte elements, at the indices (int32
  /// `[n]`); a row whose index is negative stays.
  func gather(_ source: Tensor, at indices: Tensor, into target: Tensor)

  // Sampling -------------------------------------------------------------------------------------

  /// Copies logits `[n, >= vocabulary]` to adjusted, of the same shape, and changes those of the tokens that
  /// each row names.
  ///
  /// - Parameters:
  ///   - logits: The logits; rows begin at multiples of ``logitsAlignment`` bytes.
  ///   - vocabulary: How many columns are logits; a change of another token changes nothing.
  ///   - adjustments: The elements of ``LogitAdjustment``, int32 `[m, 4]`, each token once in a row;
  ///     shared with the host.
  ///   - starts: Where in `adjustments` those of a row begin, and where the last row's end, int32 `[n + 1]`;
  ///     shared with the host.
  ///   - adjusted: The changed logits.
  func adjust(
    _ logits: Tensor, vocabulary: Int, by adjustments: Tensor, starts: Tensor, into adjusted: Tensor
  )

  /// Samples the next token of each of n rows: tokens (int32 `[n]`) from logits `[n, >= vocabulary]`,
  /// of which only the first `vocabulary` columns are logits, under `steps` `[n, 5]`, the elements of
  /// a ``SamplingStep`` each. Where no logit of a row is a number its token is -1. With `next` the
  /// tokens are left for the rows that read them, too.
  ///
  /// `steps` and `tokens` are shared with the host (``Backend/allocateShared(_:)``). Each row of logits begins
  /// at a multiple of ``logitsAlignment`` bytes.
  func sample(
    _ logits: Tensor, vocabulary: Int, by steps: Tensor, into tokens: Tensor,
    preparing next: NextRows?)

  /// The log-probabilities of a token of each of n rows of logits `[n, >= vocabulary]`, of which only the
  /// first `vocabulary` columns are logits, and those of each row's most probable tokens.
  ///
  /// A logit that is no number has no probability; equal logits of a row have equal log-probabilities, bit
  /// for bit, and a row's do not depend on other rows. Cost: two passes over the logits, and one for each
  /// of the most probable tokens after the first.
  ///
  /// - Parameters:
  ///   - logits: The logits; rows begin at multiples of ``logitsAlignment`` bytes.
  ///   - vocabulary: How many columns are logits.
  ///   - targets: A token of each row, int32 `[n]`.
  ///   - logprobs: In nats, float32 `[n, 1 + k]`: of the row's target, then of its k most probable tokens;
  ///     no number where there is no such token.
  ///   - largest: The most probable tokens, int32 `[n, k]`, the most probable first and of equal ones the
  ///     lower first; -1 where no more logits are numbers.
  func logprobs(
    _ logits: Tensor, vocabulary: Int, of targets: Tensor, into logprobs: Tensor, largest: Tensor)

  /// The type of the activations between the products of a step, beside weights of a type, at a
  /// precision of inputs: the residual and the logits are float32.
  func activationType(weights: WeightType, precision: InputPrecision) -> DataType

  /// Whether operations are computed after their calls return.
  var isAsynchronous: Bool { get }
  /// Waits until a shared token, which was ``SamplingStep/pending``, is sampled, while operations
  /// enqueued later go on. It is not where the device failed: ``Backend/finish()`` tells.
  func wait(for token: Tensor)
}

/// Where the rows that read sampled tokens have them, and their positions (int32 `[n]` each): the ones
/// after `previous`, which may be the same memory.
public struct NextRows: Sendable {
  let (tokens, positions, previous): (Tensor, Tensor, Tensor)

  /// The rows after those at `previous`.
  public init(tokens: Tensor, positions: Tensor, after previous: Tensor) {
    (self.tokens, self.positions, self.previous) = (tokens, positions, previous)
  }
}

/// A row of logits begins at a multiple of this many bytes.
public let logitsAlignment = 16

/// The weights of a model of unrouted units without norms of heads and without biases, whose attention
/// rotates whole heads and sees all of a sequence, and the KV cache that a step of one row reads and
/// writes.
public struct FusedDecodeModel: Sendable {
  let weights: DecoderStack<PackedWeights, Tensor, RMSNorm, PackedWeights>
  let caches: [KeyValueBlocks]
  let slots: Tensor
  let blockTables: Tensor
  let shape: AttentionShape
  let table: RotaryTable
  let precision: InputPrecision

  /// A model and the cache of each of its layers.
  ///
  /// - Parameters:
  ///   - weights: The model.
  ///   - caches: The cache of each layer.
  ///   - slots: The line of the block tables, int32 `[1]`: a step reads it where it is computed, so that
  ///     what was captured serves any sequence.
  ///   - blockTables: The blocks of sequences (``AttentionRows/blockTables``).
  ///   - shape: The heads of all layers.
  ///   - table: The rotations of positions.
  ///   - precision: What products see of their inputs.
  public init(
    _ weights: DecoderStack<PackedWeights, Tensor, RMSNorm, PackedWeights>,
    caches: [KeyValueBlocks], slots: Tensor, blockTables: Tensor, shape: AttentionShape,
    table: RotaryTable, precision: InputPrecision
  ) {
    precondition(caches.count == weights.layers.count, "a cache for every layer")
    self.weights = weights
    (self.caches, self.slots, self.blockTables) = (caches, slots, blockTables)
    (self.shape, self.table, self.precision) = (shape, table, precision)
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

// What a backend need not implement.
extension InferenceBackend {
  /// As they are, or in half precision.
  public func weightType(for type: WeightType) -> WeightType {
    weightTypes.contains(type) ? type : .float16
  }

  public var typesOfNarrowInputs: Set<WeightType> { [] }

  public var truncatesSums: Bool { false }

  public func decode(
    _ model: FusedDecodeModel, token: Tensor, position: Tensor, residual: Tensor, logits: Tensor?
  ) -> Bool { false }

  public func columnOrders(
    decodeRows: Int, width: Int, headSize: Int?, weights: WeightType, precision: InputPrecision
  ) -> ColumnOrders { .plain }

  public func cacheType(weights: WeightType, precision: InputPrecision) -> DataType { .float32 }

  public func activationType(weights: WeightType, precision: InputPrecision) -> DataType {
    .float32
  }

  public var isAsynchronous: Bool { false }

  public func wait(for token: Tensor) {}
}

extension InferenceBackend {
  /// Throws unless this backend stores weights as `type`.
  public func check(_ type: WeightType) throws(BackendError) {
    if weightTypes.contains(type) { return }
    let names = weightTypes.map(\.rawValue).joined(separator: ", ")
    throw BackendError(
      .weightType, "\(type.rawValue) weights: this device computes with \(names)",
      remedy: "choose one of these")
  }

  /// y = x W^T (+ y), or the intermediate activation of an unrouted unit; see
  /// ``fusedLinear(_:_:norm:routes:promptRows:precision:accumulate:orders:into:)``.
  public func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm? = nil, promptRows: Int = 0,
    precision: InputPrecision, accumulate: Bool = false, orders: ColumnOrders = .plain,
    into output: Tensor
  ) {
    fusedLinear(
      weights, x, norm: norm, routes: nil, promptRows: promptRows, precision: precision,
      accumulate: accumulate, orders: orders, into: output)
  }

  /// A plain projection x W^T, stored as the matrix is unless a type is given.
  public func projection(_ matrix: StoredMatrix, as type: WeightType? = nil) -> PackedWeights {
    projection(stacking: [matrix], as: type ?? matrix.type)
  }
}
