// Embedding, norm, rotary positions, loss and optimizer in training, through training.cu.
//
// Tokens, positions and targets should lie in the GPU's memory: what is the host's is read over the
// bus, by each block that needs it.

extension CUDABackend {
  public func embed(_ tokens: Tensor, table: Tensor, into x: Tensor) {
    let width = table.columns
    precondition(
      table.dataType == .bfloat16 && x.dataType == .bfloat16 && x.count == tokens.count * width,
      "x has another size or type")
    guard tokens.count > 0 else { return }
    launch(
      "training", "embed", options: rowOptions(width, table, x),
      grid: LaunchSize((tokens.count + 7) / 8), block: 256, programmatic: false,
      arguments: tokens.deviceAddress, table.deviceAddress, x.deviceAddress, Int64(tokens.count),
      Int32(width))
  }

  public func embedBackward(_ gradient: Tensor, tokens: Tensor, tableGradient: Tensor) {
    let width = gradient.columns
    precondition(
      gradient.dataType == .bfloat16 && tableGradient.dataType == .float32
        && gradient.rows == tokens.count && tableGradient.columns == width,
      "the gradients have other sizes or types")
    // Every block reads all of them.
    precondition(!tokens.arena.isHostVisible, "tokens are expected in the GPU's memory")
    // As many blocks as training.cu says OWNERS.
    launch(
      "training", "embed_backward", options: rowOptions(width, gradient, tableGradient),
      grid: 1024, block: 384, programmatic: false,
      arguments: gradient.deviceAddress, tokens.deviceAddress, tableGradient.deviceAddress,
      Int64(tokens.count), Int32(width))
  }

  public func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, inverseRMS: Tensor
  ) {
    precondition(
      x.dataType == .bfloat16 && y.dataType == .bfloat16 && x.columns == weight.count
        && y.count == x.count && inverseRMS.count == x.rows, "the norm has another width or type")
    guard x.rows > 0 else { return }
    launch(
      "training", "rms_norm", options: rowOptions(x.columns, x, weight, y),
      grid: LaunchSize(x.rows), block: LaunchSize(rowThreads(x.columns, most: 1024)),
      programmatic: false,
      arguments: x.deviceAddress, weight.deviceAddress, epsilon, y.deviceAddress,
      inverseRMS.deviceAddress, Int32(x.columns))
  }

  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor, xGradient: Tensor,
    weightGradient: Tensor
  ) {
    let (rows, width) = (x.rows, x.columns)
    precondition(
      upstream.dataType == .bfloat16 && x.dataType == .bfloat16 && xGradient.dataType == .bfloat16
        && weightGradient.dataType == .float32 && upstream.count == x.count
        && xGradient.count == x.count && weightGradient.count == width,
      "the norm has another width or type")
    guard rows > 0 else { return }
    // The same number everywhere: it decides in which order the weight's gradient is added up.
    let blocks = min(rows, 1024)
    let partial = scratch(.partialNorm, ofBytes: blocks * width * 4)
    let options = rowOptions(width, upstream, x, weight, xGradient)
    launch(
      "training", "rms_norm_backward", options: options, grid: LaunchSize(blocks),
      block: LaunchSize(rowThreads(width, most: 1024)), sharedBytes: (width + 7) / 8 * 32,
      programmatic: false,
      arguments: upstream.deviceAddress, x.deviceAddress, weight.deviceAddress,
      inverseRMS.deviceAddress, xGradient.deviceAddress, partial, Int64(rows), Int32(width))
    launch(
      "training", "add_columns", options: options, grid: LaunchSize((width + 7) / 8), block: 1024,
      programmatic: false,
      arguments: partial, weightGradient.deviceAddress, Int32(blocks), Int32(width))
  }

  public func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool
  ) {
    precondition(
      qkv.dataType == .bfloat16 && qkv.columns == shape.rowWidth, "qkv has another width or type")
    guard qkv.rows > 0 else { return }
    let (heads, half) = (shape.heads + shape.kvHeads, shape.headSize / 2)
    let across = min(heads * ((half + 7) / 8), 256)
    let block = LaunchSize(across, 256 / across)
    launch(
      "training", "rotate", options: rowOptions(half, qkv, table.cosine, table.sine),
      grid: LaunchSize((qkv.rows + block.y - 1) / block.y), block: block, programmatic: false,
      arguments: qkv.deviceAddress, positions.deviceAddress, table.cosine.deviceAddress,
      table.sine.deviceAddress, Float(inverse ? -1 : 1), Int64(qkv.rows), Int32(qkv.columns),
      Int32(heads), Int32(half))
  }

  public func crossEntropy(
    _ logits: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor, gradientScale: Float
  ) {
    precondition(
      logits.dataType == .bfloat16 && logits.rows == targets.count && losses.count == targets.count
        && vocabulary <= logits.columns, "targets do not fit logits")
    guard logits.rows > 0 else { return }
    // A row is kept where two blocks still fit on a multiprocessor, one reading, one writing.
    let rowBytes = (logits.columns + 7) / 8 * 16
    let isStaged =
      gradientScale != 0
      && 2 * (rowBytes + 2048) <= context.device.sharedBytesPerMultiprocessor
    launch(
      "training", "cross_entropy", options: rowOptions(logits.columns, logits),
      grid: LaunchSize(logits.rows), block: 512, sharedBytes: isStaged ? rowBytes : 0,
      programmatic: false,
      arguments: logits.deviceAddress, targets.deviceAddress, losses.deviceAddress, gradientScale,
      Int32(vocabulary), Int32(logits.columns), Int32(isStaged ? 1 : 0))
  }

  public func adamW(
    _ weights: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor,
    copy: Tensor?, squaredNorm: Tensor, step: AdamWStep
  ) {
    precondition(
      gradient.count == weights.count && firstMoment.count == weights.count
        && secondMoment.count == weights.count && squaredNorm.dataType == .float64
        && copy.map { $0.count == weights.count && $0.dataType == .bfloat16 } ?? true,
      "the weights have another size or type")
    guard weights.count > 0 else { return }
    let corrections = step.biasCorrections
    launch(
      "training", "adamw",
      options: rowOptions(8, weights, gradient, firstMoment, secondMoment, copy),
      grid: LaunchSize(8 * context.device.multiprocessorCount), block: 256, programmatic: false,
      arguments: weights.deviceAddress, gradient.deviceAddress, firstMoment.deviceAddress,
      secondMoment.deviceAddress, copy?.deviceAddress ?? 0, squaredNorm.deviceAddress,
      Int64(weights.count), step.learningRate / corrections.first,
      1 - step.learningRate * step.weightDecay, 1 / corrections.second, step.beta1, step.beta2,
      step.epsilon, step.clipNorm)
  }

  public func sumOfSquares(_ x: Tensor, into sum: Tensor) {
    precondition(x.dataType == .float32 && sum.dataType == .float64, "the sum is float64")
    // The same number everywhere: it decides in which order elements are added up.
    let blocks = 1024
    let sums = scratch(.partialSums, ofBytes: blocks * 8)
    let options = rowOptions(8, x)
    launch(
      "training", "sum_of_squares", options: options, grid: LaunchSize(blocks), block: 256,
      programmatic: false, arguments: x.deviceAddress, sums, Int64(x.count))
    launch(
      "training", "add_sums", options: options, grid: 1, block: 256, programmatic: false,
      arguments: sums, sum.deviceAddress, Int32(blocks))
  }

  public func convert(_ source: Tensor, into target: Tensor) {
    precondition(
      source.dataType == .float32 && target.dataType == .bfloat16 && source.count == target.count,
      "the target has another size or type")
    guard source.count > 0 else { return }
    launch(
      "training", "convert", options: rowOptions(source.count, source, target),
      grid: LaunchSize((source.count + 2047) / 2048), block: 256, programmatic: false,
      arguments: source.deviceAddress, target.deviceAddress, Int64(source.count))
  }

  /// Whether rows of these tensors, `columns` elements each, can be read 16 bytes at a time.
  func rowOptions(_ columns: Int, _ tensors: Tensor?...) -> [String] {
    let isWide = columns % 8 == 0 && tensors.allSatisfy { ($0?.deviceAddress ?? 0) % 16 == 0 }
    return ["-DWIDE=\(isWide ? 1 : 0)"]
  }

  /// Threads that take a row in as few equal rounds of eight elements each as `most` allow.
  func rowThreads(_ width: Int, most: Int) -> Int {
    let groups = (width + 7) / 8
    let rounds = (groups + most - 1) / most
    return ((groups + rounds - 1) / rounds + 31) / 32 * 32
  }
}
