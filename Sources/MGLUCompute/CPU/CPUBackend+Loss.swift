// The loss of training, and log-probabilities.

extension CPUBackend {
  public func crossEntropy(
    _ logits: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor, gradientScale: Float
  ) {
    precondition(
      logits.rows == targets.count && losses.count == targets.count
        && vocabulary <= logits.columns, "targets do not fit logits")
    pool.forEachRange(of: logits.rows, grain: max(1, 4096 / logits.columns)) { range in
      kernels.cross_entropy(
        logits.floats, targets.integers, losses.floats, gradientScale, Int64(logits.columns),
        Int64(vocabulary), Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func distill(
    _ logits: Tensor, teacher: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor,
    gradientScale: Float, _ distillation: Distillation
  ) {
    precondition(
      logits.rows == targets.count && losses.count == targets.count
        && teacher.rows == targets.count && vocabulary <= logits.columns
        && vocabulary <= teacher.columns, "targets or the teacher do not fit logits")
    pool.forEachRange(of: logits.rows, grain: max(1, 4096 / logits.columns)) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * vocabulary) { scratch in
        kernels.distill(
          logits.floats, teacher.floats, targets.integers, losses.floats, gradientScale,
          distillation.share, distillation.temperature, Int64(logits.columns),
          Int64(teacher.columns), Int64(vocabulary), scratch.baseAddress,
          Int64(range.lowerBound), Int64(range.upperBound))
      }
    }
  }

  /// The logarithm of the sum of the exponentials of `values`, where what is no number counts as
  /// -infinity; equal values give equal bits wherever they lie.
  package func logSumExp(_ values: Span<Float>) -> Float {
    values.withUnsafeBufferPointer {
      $0.isEmpty ? -.infinity : kernels.log_sum_exp($0.baseAddress!, Int64($0.count))
    }
  }
}
