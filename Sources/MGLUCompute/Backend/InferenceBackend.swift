/// The operations of a decoder that reads and writes text, named for what they compute.
///
/// Shapes: n rows, h hidden size, d intermediate size, m masks. Weights are narrow
/// (``WeightType``), everything else is float32, row-major.
public protocol InferenceBackend: Backend {
  /// Brings weights and masks into this backend's own layout; matrices that it can read where they
  /// are stay there.
  ///
  /// - Parameters:
  ///   - planes: W `[d, h]`; for ``Gating/gated`` the gate's and the value's.
  ///   - masks: Bits `[m, d, ceil(h / 8)]`, least significant first, for ``Gating/masked(count:ablation:)``.
  func flashWeights(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation
  ) -> FlashWeights

  /// FlashMGLU: one pass over weights and bits for all rows of x `[n, h]`, into output `[n, d]`.
  ///
  /// routes `[n, m]` weight the masks. A row's result does not depend on the rows it shares the
  /// call with.
  func flash(
    _ weights: FlashWeights, _ x: Tensor, routes: Tensor?, precision: ActivationPrecision,
    accumulate: Bool, into output: Tensor)

  /// x `[n, h]` = rows of `table` `[V, h]` at `tokens` (int32 `[n]`).
  func embed(_ tokens: Tensor, table: StoredMatrix, into x: Tensor)

  /// y = weight (.) x r, r = 1 / sqrt(mean(x^2) + epsilon) per row, kept in inverseRMS `[n]`.
  func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, inverseRMS: Tensor)
  /// Rotates the query and key heads of qkv in place by their positions (int32 `[n]`), halves
  /// against halves as Hugging Face does; `inverse` rotates back, which is the backward pass.
  func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool)

  /// Attention of one sequence's new rows over its cache.
  ///
  /// qkv holds the new rows, already rotated; their keys and values are stored in keys and values
  /// `[kvHeads, capacity, headSize]` from row `position` on, and each row attends to all before it
  /// and to itself.
  func attentionCached(
    _ qkv: Tensor, shape: AttentionShape, position: Int, keys: Tensor, values: Tensor,
    into output: Tensor)

  /// routes = softmax over the `topK` largest logits of each row `[n, m]`, 0 elsewhere; of equal
  /// logits the lower index counts as larger.
  func route(_ logits: Tensor, topK: Int, into routes: Tensor)

  /// A float32 matrix as `type`: rounded to the nearest, ties to even; ``WeightType/int8`` in groups
  /// of 32 with an FP16 scale, the largest magnitude of a group being 127.
  func quantise(_ matrix: Tensor, as type: WeightType) -> StoredMatrix
  /// The float32 values of a stored matrix.
  func dequantise(_ matrix: StoredMatrix, into target: Tensor)
}

extension InferenceBackend {
  /// y = x W^T (+ y), or the intermediate activation of an unrouted unit; see
  /// ``flash(_:_:routes:precision:accumulate:into:)``.
  public func flash(
    _ weights: FlashWeights, _ x: Tensor, precision: ActivationPrecision,
    accumulate: Bool = false, into output: Tensor
  ) {
    flash(
      weights, x, routes: nil, precision: precision, accumulate: accumulate, into: output)
  }

  /// A plain projection x W^T.
  public func projection(_ matrix: StoredMatrix) -> FlashWeights {
    flashWeights([matrix], masks: nil, gating: .linear, activation: .identity)
  }
  /// The same matrix stored as `type`: itself where it is of that type already.
  public func converted(_ matrix: StoredMatrix, to type: WeightType) -> StoredMatrix {
    if matrix.type == type { return matrix }
    let (_, wide) = allocate { $0.tensor(matrix.weights.shape) }
    dequantise(matrix, into: wide)
    return quantise(wide, as: type)
  }
}
