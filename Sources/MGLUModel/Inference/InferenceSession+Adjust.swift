// Penalties and biases: logits that are changed before tokens are sampled from them.

/// The memory of changed logits, and of the changes on their way to the device.
struct AdjustedLogits {
  let logits: Tensor
  let starts: Tensor
  private(set) var adjustments: Tensor

  /// The memory for logits of a shape.
  init(_ shape: [Int], on backend: any InferenceBackend) {
    logits = backend.allocate { $0.tensor(shape) }
    starts = backend.allocateShared { $0.tensor([shape[0] + 1], .int32) }
    adjustments = Self.adjustments(256, on: backend)
  }

  private static func adjustments(_ count: Int, on backend: any InferenceBackend) -> Tensor {
    backend.allocateShared { $0.tensor([count, LogitAdjustment.elementCount], .int32) }
  }

  /// Writes the changes of each row; further rows are not changed. No step that reads those of before may be under way.
  ///
  /// Penalties and biases of a whole batch may be hundreds of thousands of changes, on the thread that steps
  /// wait for: beyond the first steps this only copies.
  mutating func enter(_ sequences: [SequenceState], on backend: any InferenceBackend) {
    let count = sequences.reduce(0) { $0 + ($1.sampler.processor?.adjustments.count ?? 0) }
    if count > adjustments.rows { adjustments = Self.adjustments(2 * count, on: backend) }
    let (words, starts) = (adjustments.integers, starts.integers)
    var next = 0
    for (row, sequence) in sequences.enumerated() {
      starts[row] = Int32(next)
      guard let changes = sequence.sampler.processor?.adjustments else { continue }
      changes.withUnsafeBufferPointer { changes in
        for change in changes {
          change.write(to: words + next * LogitAdjustment.elementCount)
          next += 1
        }
      }
    }
    for row in sequences.count..<self.starts.count { starts[row] = Int32(next) }
  }
}

extension InferenceSession {
  /// The memory of changed logits, which is there from the first call on.
  @discardableResult
  func allocateAdjustedLogits() -> AdjustedLogits {
    let memory = adjustedLogits ?? AdjustedLogits(logits.shape, on: model.backend)
    adjustedLogits = memory
    return memory
  }

  /// Enqueues the changes of the logits of sequences, which are the first rows, and returns the changed
  /// ones; log-probabilities are those of the unchanged.
  func adjusted(_ logits: Tensor, for sequences: [SequenceState]) -> Tensor {
    var memory = allocateAdjustedLogits()
    memory.enter(sequences, on: model.backend)
    adjustedLogits = memory
    let result = memory.logits[0..<logits.rows]
    model.backend.adjust(
      logits, vocabulary: model.configuration.vocabularySize, by: memory.adjustments,
      starts: memory.starts, into: result)
    return result
  }
}
