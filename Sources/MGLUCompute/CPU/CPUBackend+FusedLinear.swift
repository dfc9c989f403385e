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
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?, promptRows: Int,
    precision: InputPrecision, accumulate: Bool, orders: ColumnOrders, into output: Tensor
  ) {
    precondition(orders == .plain, "rows of this backend are plain")
    checkSizes(weights, x, routes: routes, promptRows: promptRows, output)
    fusedLinear(
      weights,
      FusedLinearRows(
        count: x.rows, x: x.floats, routes: routes?.floats, output: output.floats,
        outputStride: output.columns),
      norm: norm, promptRows: promptRows, precision: precision, accumulate: accumulate)
  }

  /// The same over rows of any type, which are widened as they are prepared; what is accumulated, or has a
  /// norm, is float32.
  package func fusedLinear(
    _ weights: PackedWeights, _ rows: FusedLinearRows, norm: RMSNorm? = nil, promptRows: Int,
    precision: InputPrecision, accumulate: Bool = false
  ) {
    guard rows.count > 0 else { return }
    let (type, precision) = (weights.type.dataType.kernelValue, precision.kernelValue)
    let multipliesPrompts = withUnsafePointer(to: fusedLinearKernels) {
      cmglu_multiplies_prompts($0, type, precision)
    }
    let (count, columns) = (rows.count, weights.columns)
    let firstPromptRow = multipliesPrompts ? count - promptRows : count
    let size = Int(cmglu_prepared_size(Int64(columns)))
    let parts = weights.cpuParts
    // Inputs of prompts fill half of a prepared row, and panels of weights are made once for a step.
    let step = max(16, Self.preparedBytes / size)
    let promptStep = min(512, max(64, 4 * Self.preparedBytes / size / 32 * 32))
    // Prepared rows, then float32 rows of x where it is narrower, or, with a norm, normalized and what each
    // was divided by, then float32 outputs where they become narrower, then each thread's own memory.
    let preparedBytes = size * (count + Int(CMGLU_PROMPT_ROWS))
    let isWidened = rows.xType != .float32
    let wideBytes = norm == nil && !isWidened ? 0 : (count * (columns + 1) * 4 + 63) / 64 * 64
    let isNarrowed = rows.outputType != .float32
    let outputBytes = isNarrowed ? (count * weights.rows * 4 + 63) / 64 * 64 : 0
    let ownBytes =
      multipliesPrompts ? promptScratch(weights, parts, rows: min(promptStep, promptRows)) : 0
    let memory = scratch.take(
      byteCount: preparedBytes + wideBytes + outputBytes + ownBytes * threadCount)
    defer { scratch.giveBack(memory) }
    let prepared = memory.base
    let wide = (prepared + preparedBytes).assumingMemoryBound(to: Float.self)
    let inputs = isWidened ? UnsafePointer(wide) : rows.x.assumingMemoryBound(to: Float.self)
    let outputs = prepared + preparedBytes + wideBytes
    let (output, stride) =
      isNarrowed
      ? (outputs.assumingMemoryBound(to: Float.self), weights.rows)
      : (rows.output.assumingMemoryBound(to: Float.self), rows.outputStride)
    let narrow = rows.kernelValue(columns: columns)
    pool.forEachRange(of: count, grain: max(1, 65_536 / columns)) { range in
      if let norm {
        kernels.rms_norm(
          inputs, norm.weight.floats, norm.epsilon, wide, wide + count * columns,
          cmglu_norm_parts(count: 1, stride: Int64(columns)), Int64(columns),
          Int64(range.lowerBound), Int64(range.upperBound))
      }
      var narrow = narrow
      for row in range {
        let from = (norm == nil ? inputs : UnsafePointer(wide)) + row * columns
        let to = prepared + row * size
        if isWidened { fusedLinearKernels.unpack(&narrow, Int64(row), wide + row * columns) }
        if row < firstPromptRow {
          fusedLinearKernels.prepare(type, precision, from, Int64(columns), to)
        } else {
          fusedLinearKernels.prepare_prompt(from, Int64(columns), to)
        }
      }
    }
    func pass(_ start: Int, upTo end: Int) {
      self.pass(
        over: weights, parts,
        FusedLinearInput(
          prepared: prepared + start * size, rows: end - start, isPrompt: start >= firstPromptRow,
          precision: precision, routes: rows.routes.map { $0 + start * weights.gating.masks },
          accumulates: accumulate, output: output + start * stride, stride: stride,
          scratch: outputs + outputBytes, scratchBytes: ownBytes))
    }
    for start in Swift.stride(from: 0, to: firstPromptRow, by: step) {
      pass(start, upTo: min(start + step, firstPromptRow))
    }
    for start in Swift.stride(from: firstPromptRow, to: count, by: promptStep) {
      pass(start, upTo: min(start + promptStep, count))
    }
    guard isNarrowed else { return }
    let (outputType, width) = (rows.outputType.kernelValue, weights.rows)
    pool.forEachRange(of: count, grain: max(1, 32_768 / width)) { range in
      for row in range {
        fusedLinearKernels.pack(
          outputType, output + row * width, Int64(width), rows.output + row * rows.outputStride * 2,
          nil)
      }
    }
  }

  /// One pass over the weights.
  private func pass(
    over weights: PackedWeights, _ parts: [CPUPackedRows.Part], _ input: FusedLinearInput
  ) {
    let byteCount = weights.byteCount
    if byteCount * (1 + input.rows / 8) < Self.serialBytes {
      return compute(weights, parts, input, 0..<weights.rows, member: 0)
    }
    // Many rows make small ranges of weights long enough.
    let bytes = input.isPrompt ? Self.rangeBytes / (1 + input.rows / 32) : Self.rangeBytes
    let unit = input.isPrompt ? 2 * Int(CMGLU_PROMPT_ROWS) : 16
    pool.forEachPart(
      of: weights.rows, unit: unit, smallest: bytes * weights.rows / byteCount / unit * unit
    ) { compute(weights, parts, input, $0, member: $1) }
  }

  /// The outputs of some rows of W, which may lie in several parts.
  private func compute(
    _ weights: PackedWeights, _ parts: [CPUPackedRows.Part], _ input: FusedLinearInput,
    _ rows: Range<Int>, member: Int
  ) {
    var first = 0
    for part in parts {
      let own = rows.clamped(to: first..<first + part.rows)
      if !own.isEmpty {
        var packed = weights.kernelValue(of: part)
        let (begin, end) = (Int64(own.lowerBound - first), Int64(own.upperBound - first))
        if input.isPrompt {
          fusedLinearKernels.fused_linear_prompt(
            &packed, input.prepared, Int64(input.rows), input.routes, input.accumulates,
            input.output + first, Int64(input.stride), begin, end,
            input.scratch + member * input.scratchBytes)
        } else {
          fusedLinearKernels.fused_linear(
            &packed, input.precision, input.prepared, Int64(input.rows), input.routes,
            input.accumulates, input.output + first, Int64(input.stride), begin, end)
        }
      }
      first += part.rows
    }
  }

  /// Bytes of memory that a thread needs for `rows` rows of prompts.
  private func promptScratch(
    _ weights: PackedWeights, _ parts: [CPUPackedRows.Part], rows: Int
  ) -> Int {
    guard rows > 0 else { return 0 }
    var packed = weights.kernelValue(of: parts[0])
    return Int(fusedLinearKernels.prompt_scratch(&packed, Int64(rows)))
  }

  private func checkSizes(
    _ weights: PackedWeights, _ x: Tensor, routes: Tensor?, promptRows: Int, _ output: Tensor
  ) {
    precondition(
      x.columns == weights.columns && output.rows == x.rows && output.columns >= weights.rows,
      "[\(weights.rows), \(weights.columns)] over [\(x.rows), \(x.columns)] into \(output.shape)")
    precondition(
      routes == nil || routes?.rows == x.rows && routes?.columns == weights.gating.masks,
      "routes \(routes?.shape ?? []) for \(weights.gating.masks) masks")
    precondition((0...x.rows).contains(promptRows), "\(promptRows) rows of prompts of \(x.rows)")
  }
}

/// Rows of x and of the output, of float32 or 16 bits, where a caller has them.
package struct FusedLinearRows {
  let count: Int
  let x: UnsafeRawPointer
  let xType: DataType
  let routes: UnsafePointer<Float>?
  let output: UnsafeMutableRawPointer
  let outputType: DataType
  /// Elements from one row of the output to the next.
  let outputStride: Int

  /// `count` rows of x `[count, h]`, routes `[count, n_m]` or none, and the output `[count, d]`.
  package init(
    count: Int, x: UnsafeRawPointer, xType: DataType = .float32, routes: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer, outputType: DataType = .float32, outputStride: Int
  ) {
    (self.count, self.x, self.xType, self.routes) = (count, x, xType, routes)
    (self.output, self.outputType, self.outputStride) = (output, outputType, outputStride)
  }

  /// x as a matrix whose rows become float32.
  fileprivate func kernelValue(columns: Int) -> cmglu_packed {
    var value = cmglu_packed()
    value.type = xType.kernelValue
    value.gating = Gating.linear.kernelValue
    value.activation = Activation.identity.kernelValue
    (value.rows, value.columns) = (Int64(count), Int64(columns))
    value.weights.0 = x
    return value
  }
}

/// Prepared rows of x, and where their results go.
private struct FusedLinearInput {
  let prepared: UnsafeMutableRawPointer
  let rows: Int
  let isPrompt: Bool
  let precision: cmglu_precision
  let routes: UnsafePointer<Float>?
  let accumulates: Bool
  let output: UnsafeMutablePointer<Float>
  let stride: Int
  let scratch: UnsafeMutableRawPointer
  let scratchBytes: Int
}

extension InputPrecision {
  fileprivate var kernelValue: cmglu_precision {
    self == .exact ? CMGLU_EXACT : CMGLU_REDUCED
  }
}
