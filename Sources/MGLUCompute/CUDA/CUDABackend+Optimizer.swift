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
}
