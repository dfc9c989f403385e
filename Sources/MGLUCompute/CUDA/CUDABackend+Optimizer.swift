// AdamW and what it needs, through training.cu.

extension CUDABackend {
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

  public func sumsOfSquares(_ x: Tensor, into sums: Tensor) {
    precondition(
      x.dataType == .float32 && sums.dataType == .float64
        && sums.count == (x.count + Self.squareBlock - 1) / Self.squareBlock,
      "the sums have another count or type")
    sumsOfSquares(x, into: sums.deviceAddress, blocks: sums.count)
  }

  private func sumsOfSquares(_ x: Tensor, into sums: UInt64, blocks: Int) {
    guard blocks > 0 else { return }
    launch(
      "training", "sums_of_squares", options: rowOptions(8, x), grid: LaunchSize(blocks),
      block: 256,
      programmatic: false, arguments: x.deviceAddress, sums, Int64(x.count))
  }

  public func addSums(_ sums: Tensor, into sum: Tensor) {
    precondition(sums.dataType == .float64 && sum.dataType == .float64, "the sum is float64")
    addSums(sums.deviceAddress, blocks: sums.count, into: sum)
  }

  private func addSums(_ sums: UInt64, blocks: Int, into sum: Tensor) {
    launch(
      "training", "add_sums", options: ["-DWIDE=1"], grid: 1, block: 256, programmatic: false,
      arguments: sums, sum.deviceAddress, Int32(blocks))
  }

  public func sumOfSquares(_ x: Tensor, into sum: Tensor) {
    precondition(x.dataType == .float32 && sum.dataType == .float64, "the sum is float64")
    let blocks = (x.count + Self.squareBlock - 1) / Self.squareBlock
    let sums = scratch(.partialSums, ofBytes: blocks * 8)
    sumsOfSquares(x, into: sums, blocks: blocks)
    addSums(sums, blocks: blocks, into: sum)
  }

  public func addRows(_ x: Tensor, into y: Tensor, accumulates: Bool) {
    precondition(
      x.dataType == .float32 && y.dataType == .float32 && x.columns == y.count,
      "the rows have another length or type")
    guard y.count > 0, x.rows > 0 else { return }
    launch(
      "training", "add_rows", options: rowOptions(y.count, x, y),
      grid: LaunchSize(min((y.count + 1023) / 1024, 8 * context.device.multiprocessorCount)),
      block: 256, programmatic: false, arguments: x.deviceAddress, y.deviceAddress,
      Int64(y.count), Int32(x.rows), Int32(accumulates ? 1 : 0))
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
}
