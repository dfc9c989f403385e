import CMGLUKernels

// FlashMGLU on the CPU: every thread takes ranges of rows as it becomes free, so that a thread the
// system holds up holds up little.

extension CPUBackend {
  public var typesOfNarrowInputs: Set<WeightType> { [.bfloat16, .int8] }

  /// Bytes of weights in the smallest range: enough to hide the taking of it.
  private static let rangeBytes = 1 << 16
  /// A job of fewer bytes is done before another thread would have woken.
  private static let serialBytes = 1 << 16
  /// Prepared inputs that pass over weights together: they stay in a core's own cache.
  private static let preparedBytes = 1 << 19

  public func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    precision: InputPrecision, accumulate: Bool, into output: Tensor
  ) {
    checkSizes(weights, x, routes: routes, output)
    guard x.rows > 0 else { return }
    let (type, precision) = (weights.type.dataType.kernelValue, precision.kernelValue)
    let size = Int(cmglu_prepared_size(Int64(x.columns)))
    let (inputs, columns) = (x.floats, x.columns)
    // Prepared rows, then, with a norm, rows of x normalized and what each was divided by.
    let preparedBytes = (size * x.rows + 63) / 64 * 64
    let prepared = scratch(ofBytes: preparedBytes + (norm == nil ? 0 : x.rows * (columns + 1) * 4))
    let normed = (prepared + preparedBytes).assumingMemoryBound(to: Float.self)
    pool.forEachRange(of: x.rows, grain: max(1, 65_536 / columns)) { rows in
      if let norm {
        kernels.rms_norm(
          inputs, norm.weight.floats, norm.epsilon, normed, normed + x.count,
          cmglu_norm_parts(count: 1, stride: Int64(columns)), Int64(columns),
          Int64(rows.lowerBound), Int64(rows.upperBound))
      }
      for row in rows {
        fusedLinearKernels.prepare(
          type, precision, (norm == nil ? inputs : normed) + row * columns, Int64(columns),
          prepared + row * size)
      }
    }
    let parts = weights.cpuParts
    let step = max(16, Self.preparedBytes / size)
    for start in stride(from: 0, to: x.rows, by: step) {
      let count = min(step, x.rows - start)
      pass(
        over: weights, parts,
        FusedLinearInput(
          prepared: prepared + start * size, rows: count, precision: precision,
          routes: routes.map { $0.floats + start * $0.columns }, accumulates: accumulate,
          output: output.floats + start * output.columns, stride: output.columns))
    }
  }

  /// One pass over the weights.
  private func pass(
    over weights: PackedWeights, _ parts: [CPUPackedRows.Part], _ input: FusedLinearInput
  ) {
    let byteCount = weights.byteCount
    if byteCount * (1 + input.rows / 8) < Self.serialBytes {
      return compute(weights, parts, input, 0..<weights.rows)
    }
    pool.forEachPart(
      of: weights.rows, unit: 16,
      smallest: Self.rangeBytes * weights.rows / byteCount / 16 * 16
    ) { compute(weights, parts, input, $0) }
  }

  /// The outputs of some rows of W, which may lie in several parts.
  private func compute(
    _ weights: PackedWeights, _ parts: [CPUPackedRows.Part], _ input: FusedLinearInput,
    _ rows: Range<Int>
  ) {
    var first = 0
    for part in parts {
      let own = rows.clamped(to: first..<first + part.rows)
      if !own.isEmpty {
        var packed = weights.kernelValue(of: part)
        fusedLinearKernels.fused_linear(
          &packed, input.precision, input.prepared, Int64(input.rows), input.routes,
          input.accumulates, input.output + first, Int64(input.stride),
          Int64(own.lowerBound - first), Int64(own.upperBound - first))
      }
      first += part.rows
    }
  }

  private func checkSizes(
    _ weights: PackedWeights, _ x: Tensor, routes: Tensor?, _ output: Tensor
  ) {
    precondition(
      x.columns == weights.columns && output.rows == x.rows && output.columns >= weights.rows,
      "[\(weights.rows), \(weights.columns)] over [\(x.rows), \(x.columns)] into \(output.shape)")
    precondition(
      routes == nil || routes?.rows == x.rows && routes?.columns == weights.gating.masks,
      "routes \(routes?.shape ?? []) for \(weights.gating.masks) masks")
  }
}

/// Prepared rows of x, and where their results go.
private struct FusedLinearInput {
  let prepared: UnsafeMutableRawPointer
  let rows: Int
  let precision: cmglu_precision
  let routes: UnsafeMutablePointer<Float>?
  let accumulates: Bool
  let output: UnsafeMutablePointer<Float>
  let stride: Int
}

extension InputPrecision {
  fileprivate var kernelValue: cmglu_precision {
    self == .exact ? CMGLU_EXACT : CMGLU_REDUCED
  }
}
