// The loss of training, through training.cu. Targets should lie in the GPU's memory.

extension CUDABackend {
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

  public func distill(
    _ logits: Tensor, teacher: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor,
    gradientScale: Float, _ distillation: Distillation
  ) {
    precondition(
      logits.dataType == .bfloat16 && teacher.dataType == .bfloat16
        && logits.rows == targets.count && losses.count == targets.count
        && teacher.rows == targets.count && vocabulary <= logits.columns
        && vocabulary <= teacher.columns, "targets or the teacher do not fit logits")
    guard logits.rows > 0 else { return }
    let isWide = teacher.columns % 8 == 0
    launch(
      "training", "distill",
      options: isWide ? rowOptions(logits.columns, logits, teacher) : ["-DWIDE=0"],
      grid: LaunchSize(logits.rows), block: 512, programmatic: false,
      arguments: logits.deviceAddress, teacher.deviceAddress, targets.deviceAddress,
      losses.deviceAddress, gradientScale, distillation.share, distillation.temperature,
      Int32(vocabulary), Int32(logits.columns), Int32(teacher.columns))
  }
}
