import CMGLUKernels

// FlashMGLU on the GPU: weights in cells through fused_linear.cu, on Hopper through fused_linear_batch.cu
// for several rows and fused_linear_prompt.cu for those of prompts; float32 ones through plain.cu.

extension CUDABackend {
  public var typesOfNarrowInputs: Set<WeightType> { [.float16, .bfloat16, .int8] }

  public var truncatesSums: Bool { true }

  public func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?, promptRows: Int,
    precision: InputPrecision, accumulate: Bool, orders: ColumnOrders, into output: Tensor
  ) {
    precondition(
      x.columns == weights.columns && output.rows == x.rows && output.columns >= weights.rows,
      "[\(weights.rows), \(weights.columns)] over [\(x.rows), \(x.columns)] into \(output.shape)")
    precondition(
      routes == nil || routes?.rows == x.rows && routes?.columns == weights.gating.masks,
      "routes \(routes?.shape ?? []) for \(weights.gating.masks) masks")
    precondition((0...x.rows).contains(promptRows), "\(promptRows) rows of prompts of \(x.rows)")
    if let cells = weights.cells {
      let pieces = precision.pieces(of: weights.type)
      let firstPromptRow =
        multipliesPrompts(of: weights.type, at: precision) ? x.rows - promptRows : x.rows
      let isBatch = batches(rows: firstPromptRow, pieces: pieces)
      let (most, isStaged) =
        isBatch
        ? (FusedLinearBatchLaunch.mostRows, false)
        : FusedLinearVariant.pass(
          masks: weights.gating.masks, planes: weights.gating.planes, type: weights.type,
          width: weights.columns, pieces: pieces, rows: weights.rows, on: context.device)
      for start in stride(from: 0, to: firstPromptRow, by: most) {
        let rows = start..<min(firstPromptRow, start + most)
        let (x, output) = (x[rowsOf: rows], output[rowsOf: rows])
        let routes = routes.map { $0[rowsOf: rows] }
        if isBatch {
          batchPass(
            over: cells, weights, x, norm: norm, routes: routes, pieces: pieces,
            accumulate: accumulate, order: orders.decoding, into: output)
        } else {
          precondition(orders.decoding == .plain, "\(firstPromptRow) rows are plain")
          pass(
            over: cells, weights, x, norm: norm, routes: routes, pieces: pieces,
            isStaged: isStaged, accumulate: accumulate, into: output)
        }
      }
      let mostPromptRows = FusedLinearPromptLaunch.mostRows(width: x.columns, pieces: pieces)
      for start in stride(from: firstPromptRow, to: x.rows, by: mostPromptRows) {
        let rows = start..<min(x.rows, start + mostPromptRows)
        promptPass(
          over: cells, weights, x[rowsOf: rows], norm: norm,
          routes: routes.map { $0[rowsOf: rows] }, pieces: pieces, accumulate: accumulate,
          order: orders.prompts, into: output[rowsOf: rows])
      }
    } else {
      plain(
        weights.plainRows, weights, x, norm: norm, routes: routes, accumulate: accumulate,
        into: output)
    }
  }

  /// Whether rows of prompts go through fused_linear_prompt.cu, where INT8 weights become FP16, which exact
  /// products may not; others compute them as they compute any.
  func multipliesPrompts(of type: WeightType, at precision: InputPrecision) -> Bool {
    FusedLinearPromptVariant.isAvailable(on: context.device) && mapsTensors && type != .float32
      && (type != .int8 || precision == .reduced)
  }

  public func columnOrders(
    decodeRows: Int, width: Int, headSize: Int?, weights: WeightType, precision: InputPrecision
  ) -> ColumnOrders {
    let type = activationType(weights: weights, precision: precision)
    let isTensor = headSize.map { AttentionLaunch.usesTensorCores(headSize: $0, type) } ?? true
    guard type != .float32, isTensor, width % 64 == 0 else { return .plain }
    let decodes =
      weights != .int8 && batches(rows: decodeRows, pieces: precision.pieces(of: weights))
      && FusedLinearBatchLaunch.interleaves(rows: decodeRows)
    return ColumnOrders(
      decoding: decodes ? .interleaved : .plain,
      prompts: multipliesPrompts(of: weights, at: precision) ? .interleaved : .plain)
  }

  /// Whether so many rows that decode go through fused_linear_batch.cu.
  func batches(rows: Int, pieces: Int) -> Bool {
    FusedLinearBatchLaunch.isAvailable(on: context.device) && mapsTensors
      && FusedLinearBatchLaunch.serves(rows: rows, pieces: pieces)
  }

  /// One pass over the weights.
  private func pass(
    over cells: Tensor, _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    pieces: Int, isStaged: Bool, accumulate: Bool, into output: Tensor
  ) {
    let variant = FusedLinearVariant(
      masks: weights.gating.masks, planes: weights.gating.planes, type: weights.type,
      batch: x.rows, pieces: pieces, width: weights.columns)
    // What has a norm, or adds to its output, is part of a model's step.
    let isChained = norm != nil || accumulate
    // Where more rows fit, so do fewer.
    guard
      let launch = variant.launch(
        rows: weights.rows, isStaged: isStaged, isChained: isChained, on: context.device)
    else { preconditionFailure("no shared memory for \(x.rows) rows") }
    var arguments = arguments(
      cells, weights, x, norm: norm, routes: routes, pieces: pieces, accumulate: accumulate,
      into: output)
    arguments.stages = Int32(launch.stages)
    arguments.places = Int32(launch.places)
    arguments.is_chained = isChained ? 1 : 0
    if isStaged {
      arguments.staged = scratch(.stagedInput, ofBytes: variant.columns * variant.inputStride)
      self.launch(
        "fused_linear", "stage", options: launch.options, grid: LaunchSize(x.rows), block: 256,
        arguments: arguments)
    }
    self.launch(
      "fused_linear", "fused_linear", options: launch.options, grid: LaunchSize(launch.grid),
      block: 256,
      sharedBytes: launch.sharedBytes, arguments: arguments)
  }

  /// Several rows, each with the bits that it has alone.
  private func batchPass(
    over cells: Tensor, _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    pieces: Int, accumulate: Bool, order: ColumnOrder, into output: Tensor
  ) {
    let isInPlace = norm == nil && isReadInPlace(x, weights, pieces: pieces)
    precondition(norm != nil || order == .plain || isInPlace, "interleaved rows of \(x.shape)")
    let batch = FusedLinearBatchLaunch(
      gating: weights.gating, activation: weights.activation, type: weights.type,
      output: output.dataType, outputOrder: norm == nil ? .plain : order,
      input: isInPlace ? .rows(order) : .staged, rows: weights.rows, width: weights.columns,
      batch: x.rows, pieces: pieces, on: context.device)
    var arguments = arguments(
      cells, weights, x, norm: norm, routes: routes, pieces: pieces, accumulate: accumulate,
      into: output)
    arguments.stages = Int32(batch.stages)
    let isStaged = !isInPlace || batch.order != order
    if isStaged { stage(x, weights, pieces: pieces, batch.order, &arguments) }
    guard
      let rowsMap = mapRows(
        arguments, isStaged: isStaged, batch.order, boxRows: batch.columns),
      let cellsMap = mapCells(cells, weights, boxTiles: batch.tiles)
    else { return }
    launch(
      batch.kernel, batch.kernel, options: batch.options,
      grid: LaunchSize(batch.grid), block: LaunchSize(FusedLinearBatchLaunch.threads),
      sharedBytes: batch.sharedBytes, arguments: arguments, rowsMap, cellsMap)
  }

  /// Rows of prompts, each with the bits that it has among any other.
  private func promptPass(
    over cells: Tensor, _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    pieces: Int, accumulate: Bool, order: ColumnOrder, into output: Tensor
  ) {
    let isInPlace =
      norm == nil && order == .interleaved && isReadInPlace(x, weights, pieces: pieces)
    precondition(norm != nil || order == .plain || isInPlace, "interleaved rows of \(x.shape)")
    precondition(
      norm == nil || order == .plain || weights.rows % 64 == 0, "\(weights.rows) rows interleaved")
    let prompt = FusedLinearPromptLaunch(
      gating: weights.gating, activation: weights.activation, type: weights.type,
      isRouted: routes != nil, outputOrder: norm == nil ? .plain : order, rows: weights.rows,
      width: weights.columns, count: x.rows, pieces: pieces,
      isAccumulating: accumulate && output.dataType == .float32, on: context.device)
    var arguments = arguments(
      cells, weights, x, norm: norm, routes: routes, pieces: pieces, accumulate: accumulate,
      into: output)
    arguments.segment = Int32(prompt.segment)
    if prompt.isSplit { arguments.turns = scratch(.counters, ofBytes: prompt.turnBytes) }
    if !isInPlace { stage(x, weights, pieces: pieces, .interleaved, &arguments) }
    let variant = prompt.variant
    guard
      let rowsMap = mapRows(
        arguments, isStaged: !isInPlace, .interleaved, boxRows: variant.columns),
      let cellsMap = mapCells(
        cells, weights, boxTiles: FusedLinearPromptVariant.tileRows / 16)
    else { return }
    launch(
      "fused_linear_prompt", "fused_linear_prompt", options: variant.options,
      grid: LaunchSize(prompt.grid), block: LaunchSize(FusedLinearPromptVariant.threads),
      sharedBytes: variant.sharedBytes, arguments: arguments, rowsMap, cellsMap)
  }

  /// Whether rows of x are read where they are: whole cells in the weights' type.
  private func isReadInPlace(_ x: Tensor, _ weights: PackedWeights, pieces: Int) -> Bool {
    pieces == 1 && x.dataType == weights.inputType && x.columns % 64 == 0
      && x.deviceAddress % 16 == 0
  }

  /// Enqueues the rounding, and norm, of x into rows of an order.
  private func stage(
    _ x: Tensor, _ weights: PackedWeights, pieces: Int, _ order: ColumnOrder,
    _ arguments: inout cmglu_cuda_fused_linear
  ) {
    arguments.staged = scratch(
      .stagedInput,
      ofBytes: FusedLinearVariant.stagedBytes(rows: x.rows, pieces: pieces, width: x.columns))
    let variant = FusedLinearVariant(
      masks: 0, planes: 1, type: weights.inputType == .bfloat16 ? .bfloat16 : .float16, batch: 1,
      pieces: 1, width: x.columns)
    launch(
      "fused_linear", "stage", options: variant.options(isStaged: true) + order.options,
      grid: LaunchSize(x.rows), block: 256, arguments: arguments)
  }

  /// What fused_linear.cu and fused_linear_prompt.cu are told.
  private func arguments(
    _ cells: Tensor, _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?,
    pieces: Int, accumulate: Bool, into output: Tensor
  ) -> cmglu_cuda_fused_linear {
    var arguments = cmglu_cuda_fused_linear()
    arguments.cells = cells.deviceAddress
    arguments.x = x.deviceAddress
    arguments.output = output.deviceAddress
    arguments.routes = routes?.deviceAddress ?? 0
    arguments.norm = norm?.weight.deviceAddress ?? 0
    arguments.output_stride = Int64(output.columns)
    arguments.rows = Int32(weights.rows)
    arguments.columns = Int32(weights.columns)
    arguments.batch = Int32(x.rows)
    arguments.pieces = Int32(pieces)
    arguments.input_type = x.dataType.kernelValue.argument
    arguments.output_type = output.dataType.kernelValue.argument
    arguments.activation = weights.activation.kernelValue.argument
    arguments.gating = weights.gating.kernelValue.argument
    arguments.accumulate = accumulate ? 1 : 0
    arguments.epsilon = norm?.epsilon ?? 0
    return arguments
  }

  /// A unit or projection over float32 weights.
  private func plain(
    _ rows: CUDAPackedRows, _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?,
    routes: Tensor?, accumulate: Bool, into output: Tensor
  ) {
    guard x.rows > 0 else { return }
    precondition(x.dataType == .float32 && output.dataType == .float32, "float32 is expected")
    var arguments = cmglu_cuda_plain()
    // The gate is the first plane of two, the value the last.
    arguments.weights = rows.planes[rows.planes.count - 1].deviceAddress
    arguments.gate = rows.planes[0].deviceAddress
    arguments.masks = rows.bits?.deviceAddress ?? 0
    arguments.x = x.deviceAddress
    arguments.routes = routes?.deviceAddress ?? 0
    arguments.norm = norm?.weight.deviceAddress ?? 0
    arguments.output = output.deviceAddress
    arguments.rows = Int32(weights.rows)
    arguments.columns = Int32(weights.columns)
    arguments.mask_count = Int32(weights.gating.masks)
    arguments.gating = weights.gating.kernelValue.argument
    arguments.activation = weights.activation.kernelValue.argument
    arguments.accumulate = accumulate ? 1 : 0
    arguments.epsilon = norm?.epsilon ?? 0
    arguments.output_stride = Int32(output.columns)
    guard x.rows <= 65535 else {
      return fail(
        .unsupportedDevice, "\(x.rows) rows of float32 at a time: a GPU takes 65535 at most")
    }
    launch(
      "plain", "plain", grid: LaunchSize((weights.rows + 7) / 8, x.rows), block: 256,
      arguments: arguments)
  }
}

extension InputPrecision {
  /// Numbers of 16-bit weights' type that an input is split into.
  func pieces(of type: WeightType) -> Int { self == .reduced ? 1 : type == .bfloat16 ? 3 : 2 }
}

extension PackedWeights {
  /// The 16-bit type of inputs beside them.
  fileprivate var inputType: DataType { type == .bfloat16 ? .bfloat16 : .float16 }
}

extension RawRepresentable where RawValue == UInt32 {
  /// A number of cmglu_numbers.h as the argument of a kernel.
  var argument: Int32 { Int32(rawValue) }
}

extension Tensor {
  /// Rows of the innermost dimension, whatever the others.
  fileprivate subscript(rowsOf range: Range<Int>) -> Tensor { reshaped([rows, columns])[range] }
}
