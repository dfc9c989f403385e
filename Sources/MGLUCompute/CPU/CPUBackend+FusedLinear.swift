import CMGLUKernels
import Synchronization

// FlashMGLU on the CPU: every thread takes ranges of rows as it becomes free, so that a thread the
// system holds up holds up little.

extension CPUBackend {
  /// Bytes of weights in the smallest range: enough to hide the taking of it.
  private static let rangeBytes = 1 << 16
  /// A job of fewer bytes is done before another thread would have woken.
  private static let serialBytes = 1 << 16
  /// Prepared inputs that pass over weights together: they stay in a core's own cache.
  private static let preparedBytes = 1 << 19

  public var host: CPUBackend { self }

  public var weightTypes: [WeightType] { WeightType.allCases }

  public func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result) {
    try allocate(describe)
  }

  public func toDevice(_ tensor: Tensor) -> Tensor { tensor }

  public func capture(_ body: @escaping () -> Void) -> () -> Void { body }

  public func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    precision: InputPrecision, accumulate: Bool, into output: Tensor
  ) {
    checkSizes(weights, x, routes: routes, output)
    guard x.rows > 0 else { return }
    let (type, precision) = (weights.type.kernelValue, precision.kernelValue)
    let size = Int(cmglu_prepared_size(Int64(x.columns)))
    let (inputs, columns) = (x.floats, x.columns)
    // Prepared rows, then, with a norm, rows of x normalized and what each was divided by.
    let preparedBytes = (size * x.rows + 63) / 64 * 64
    let prepared = scratch(ofBytes: preparedBytes + (norm == nil ? 0 : x.rows * (columns + 1) * 4))
    let normed = (prepared + preparedBytes).assumingMemoryBound(to: Float.self)
    pool.forEachRange(of: x.rows, grain: max(1, 65_536 / columns)) { rows in
      if let norm {
        kernels.rms_norm(
          inputs, norm.weight.floats, norm.epsilon, normed, normed + x.count, Int64(columns),
          Int64(rows.lowerBound), Int64(rows.upperBound))
      }
      for row in rows {
        fusedLinearKernels.prepare(
          type, precision, (norm == nil ? inputs : normed) + row * columns, Int64(columns),
          prepared + row * size)
      }
    }
    let step = max(16, Self.preparedBytes / size)
    for start in stride(from: 0, to: x.rows, by: step) {
      let count = min(step, x.rows - start)
      pass(
        over: weights,
        FusedLinearInput(
          prepared: prepared + start * size, rows: count, precision: precision,
          routes: routes.map { $0.floats + start * $0.columns }, accumulates: accumulate,
          output: output.floats + start * output.columns, stride: output.columns))
    }
  }

  /// One pass over the weights.
  private func pass(over weights: PackedWeights, _ input: FusedLinearInput) {
    if weights.byteCount * (1 + input.rows / 8) < Self.serialBytes {
      return compute(weights, input, 0..<weights.rows)
    }
    pool.forEachPart(
      of: weights.rows, unit: 16,
      smallest: Self.rangeBytes * weights.rows / weights.byteCount / 16 * 16
    ) { compute(weights, input, $0) }
  }

  /// The outputs of some rows of W, which may lie in several parts.
  private func compute(_ weights: PackedWeights, _ input: FusedLinearInput, _ rows: Range<Int>) {
    var first = 0
    for part in weights.parts {
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
      x.columns == weights.columns && output.rows == x.rows && output.columns == weights.rows,
      "[\(weights.rows), \(weights.columns)] over [\(x.rows), \(x.columns)] into \(output.shape)")
    precondition(
      routes == nil || routes?.rows == x.rows && routes?.columns == weights.gating.masks,
      "routes \(routes?.shape ?? []) for \(weights.gating.masks) masks")
  }

  /// Memory of at least `count` bytes, the same at every call: it allocates only to grow.
  func scratch(ofBytes count: Int) -> UnsafeMutableRawPointer {
    if scratch.byteCount < count { scratch = HostBuffer(byteCount: count) }
    return scratch.base
  }

  public func projection(stacking matrices: [StoredMatrix], as type: WeightType) -> PackedWeights {
    PackedWeights(
      stacked: matrices.map {
        pack([$0], masks: nil, gating: .linear, activation: .identity, as: type)
      })
  }

  public func pack(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> PackedWeights {
    let planes = planes.map { converted($0, to: type) }
    precondition(planes.count == (gating == .gated ? 2 : 1), "a plane for every matrix")
    let (rows, columns) = (planes[0].rows, planes[0].columns)
    var words: Tensor?
    if let masks {
      let stride = (columns + 7) / 8
      precondition(
        masks.shape == [gating.masks, rows, stride] && masks.dataType == .uint8,
        "masks \(masks.shape) for [\(gating.masks), \(rows), \(stride)]")
      let count = (columns + Int(CMGLU_WORD) - 1) / Int(CMGLU_WORD)
      let (_, packed) = allocate { $0.tensor([rows, count, gating.masks], .int64) }
      let (source, target) = (masks.bytes, packed.bytes)
      words = packed
      pool.forEachRange(of: rows) { range in
        fusedLinearKernels.pack_masks(
          source.baseAddress, Int64(rows), Int64(columns), Int64(gating.masks),
          target.baseAddress?.assumingMemoryBound(to: UInt64.self),
          Int64(range.lowerBound), Int64(range.upperBound))
      }
    } else {
      precondition(gating.masks == 0, "\(gating.masks) masks without bits")
    }
    return PackedWeights(planes: planes, words: words, gating: gating, activation: activation)
  }

  public func embed(_ tokens: Tensor, table: PackedWeights, into x: Tensor) {
    precondition(tokens.count == x.rows && table.columns == x.columns, "x has another size")
    var packed = table.parts[0].planes[0].kernelValue
    for row in 0..<x.rows {
      let id = Int(tokens.integers[row])
      precondition((0..<table.rows).contains(id), "token \(id) outside the table")
      fusedLinearKernels.unpack(&packed, Int64(id), x.floats + row * x.columns)
    }
  }

  public func sample(
    _ logits: Tensor, by choice: Tensor, into token: Tensor, preparing next: NextRow?
  ) {
    let choice = choice.withFloats { SamplingStep(elements: $0) }
    token.integers[0] = logits.withFloats { chooser.token(of: $0, by: choice) }
    guard let next else { return }
    // A token that is none is read as another, as a GPU's kernels do; what follows is not looked at.
    next.token.integers[0] = max(token.integers[0], 0)
    next.position.integers[0] = next.previous.integers[0] + 1
  }

  /// A float32 matrix as `type`: rounded to the nearest, ties to even; ``WeightType/int8`` in groups
  /// of 32 with an FP16 scale, the largest magnitude of a group being 127.
  public func quantize(_ matrix: Tensor, as type: WeightType) -> StoredMatrix {
    if type == .float32 { return StoredMatrix(weights: matrix) }
    let (rows, columns) = (matrix.rows, matrix.columns)
    let (_, result) = allocate { layout in
      let weights = layout.tensor([rows, columns], type.dataType)
      let scales =
        type == .int8
        ? layout.tensor(WeightType.scalesShape(rows: rows, columns: columns), .float16) : nil
      return StoredMatrix(weights: weights, scales: scales)
    }
    let (source, weights, scales) = (matrix.floats, result.weights, result.scales)
    let stride = columns * type.dataType.byteCount
    pool.forEachRange(of: rows) { range in
      for row in range {
        fusedLinearKernels.pack(
          type.kernelValue, source + row * columns, Int64(columns),
          weights.bytes.baseAddress! + row * stride,
          scales.map { $0.bytes.baseAddress! + row * $0.columns * 2 })
      }
    }
    return result
  }

  /// The same matrix stored as `type`: itself where it is of that type already.
  public func converted(_ matrix: StoredMatrix, to type: WeightType) -> StoredMatrix {
    if matrix.type == type { return matrix }
    let (_, wide) = allocate { $0.tensor(matrix.weights.shape) }
    dequantize(matrix, into: wide)
    return quantize(wide, as: type)
  }

  /// The float32 values of a stored matrix.
  public func dequantize(_ matrix: StoredMatrix, into target: Tensor) {
    precondition(
      matrix.rows == target.rows && matrix.columns == target.columns, "the target's size differs")
    let packed = matrix.kernelValue
    let floats = target.floats
    pool.forEachRange(of: matrix.rows) { range in
      var packed = packed
      for row in range {
        fusedLinearKernels.unpack(&packed, Int64(row), floats + row * matrix.columns)
      }
    }
  }

  /// Reads `buffers`, each of them in parts, with every thread in one job, and drops them: the bound
  /// that memory sets.
  package func read(_ buffers: [UnsafeRawBufferPointer]) -> UInt64 {
    let size = 1 << 18
    let parts = buffers.flatMap { buffer in
      stride(from: 0, to: buffer.count, by: size).map {
        UnsafeRawBufferPointer(rebasing: buffer[$0..<min($0 + size, buffer.count)])
      }
    }
    let total = Atomic<UInt64>(0)
    pool.forEach(parts.count) { index, _ in
      guard let base = parts[index].baseAddress else { return }
      total.wrappingAdd(
        fusedLinearKernels.read(base, Int64(parts[index].count)), ordering: .relaxed)
    }
    return total.load(ordering: .relaxed)
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

extension PackedWeights {
  fileprivate func kernelValue(of part: Part) -> cmglu_packed {
    var value = part.planes[0].kernelValue
    value.gating = gating.kernelValue
    value.activation = activation.kernelValue
    value.masks = Int64(gating.masks)
    if part.planes.count > 1 {
      value.weights.1 = UnsafeRawPointer(part.planes[1].weights.bytes.baseAddress)
      value.scales.1 = UnsafeRawPointer(part.planes[1].scales?.bytes.baseAddress)
    }
    value.words = part.words.flatMap {
      UnsafeRawPointer($0.bytes.baseAddress)?.assumingMemoryBound(to: UInt64.self)
    }
    return value
  }
}

extension StoredMatrix {
  /// The matrix as a plain projection.
  fileprivate var kernelValue: cmglu_packed {
    var value = cmglu_packed()
    value.type = type.kernelValue
    value.gating = Gating.linear.kernelValue
    value.activation = Activation.identity.kernelValue
    value.rows = Int64(rows)
    value.columns = Int64(columns)
    value.weights.0 = UnsafeRawPointer(weights.bytes.baseAddress)
    value.scales.0 = UnsafeRawPointer(scales?.bytes.baseAddress)
    return value
  }
}

extension WeightType {
  fileprivate var kernelValue: cmglu_weight_type {
    switch self {
    case .float32: CMGLU_F32
    case .float16: CMGLU_F16
    case .bfloat16: CMGLU_BF16
    case .int8: CMGLU_I8
    }
  }
}

extension InputPrecision {
  fileprivate var kernelValue: cmglu_precision {
    self == .exact ? CMGLU_EXACT : CMGLU_REDUCED
  }
}
