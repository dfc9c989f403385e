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
    precision: InputPrecision, accumulate: Bool, into output: Tensor
  ) {
    checkSizes(weights, x, routes: routes, promptRows: promptRows, output)
    guard x.rows > 0 else { return }
    let (type, precision) = (weights.type.dataType.kernelValue, precision.kernelValue)
    let multipliesPrompts = withUnsafePointer(to: fusedLinearKernels) {
      cmglu_multiplies_prompts($0, type, precision)
    }
    let firstPromptRow = multipliesPrompts ? x.rows - promptRows : x.rows
    let size = Int(cmglu_prepared_size(Int64(x.columns)))
    let (inputs, columns) = (x.floats, x.columns)
    let parts = weights.cpuParts
    // Inputs of prompts fill half of a prepared row, and panels of weights are made once for a step.
    let step = max(16, Self.preparedBytes / size)
    let promptStep = min(512, max(64, 4 * Self.preparedBytes / size / 32 * 32))
    // Prepared rows, then, with a norm, rows of x normalized and what each was divided by, then each
    // thread's own memory.
    let preparedBytes = size * (x.rows + Int(CMGLU_PROMPT_ROWS))
    let normedBytes = norm == nil ? 0 : (x.rows * (columns + 1) * 4 + 63) / 64 * 64
    let ownBytes =
      multipliesPrompts ? promptScratch(weights, parts, rows: min(promptStep, promptRows)) : 0
    let prepared = scratch(ofBytes: preparedBytes + normedBytes + ownBytes * threadCount)
    let normed = (prepared + preparedBytes).assumingMemoryBound(to: Float.self)
    pool.forEachRange(of: x.rows, grain: max(1, 65_536 / columns)) { rows in
      if let norm {
        kernels.rms_norm(
          inputs, norm.weight.floats, norm.epsilon, normed, normed + x.count,
          cmglu_norm_parts(count: 1, stride: Int64(columns)), Int64(columns),
          Int64(rows.lowerBound), Int64(rows.upperBound))
      }
      for row in rows {
        let (from, to) = ((norm == nil ? inputs : normed) + row * columns, prepared + row * size)
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
          precision: precision, routes: routes.map { $0.floats + start * $0.columns },
          accumulates: accumulate, output: output.floats + start * output.columns,
          stride: output.columns, scratch: prepared + preparedBytes + normedBytes,
          scratchBytes: ownBytes))
    }
    for start in stride(from: 0, to: firstPromptRow, by: step) {
      pass(start, upTo: min(start + step, firstPromptRow))
    }
    for start in stride(from: firstPromptRow, to: x.rows, by: promptStep) {
      pass(start, upTo: min(start + promptStep, x.rows))
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

/// Prepared rows of x, and where their results go.
private struct FusedLinearInput {
  let prepared: UnsafeMutableRawPointer
  let rows: Int
  let isPrompt: Bool
  let precision: cmglu_precision
  let routes: UnsafeMutablePointer<Float>?
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
