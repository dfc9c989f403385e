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
  mutating func enter(_ rows: [[LogitAdjustment]], on backend: any InferenceBackend) {
    let count = rows.reduce(0) { $0 + $1.count }
    if count > adjustments.rows { adjustments = Self.adjustments(2 * count, on: backend) }
    var next = 0
    for (row, changes) in rows.enumerated() {
      starts.integers[row] = Int32(next)
      for change in changes {
        for (index, element) in change.elements.enumerated() {
          adjustments.integers[next * LogitAdjustment.elementCount + index] = element
        }
        next += 1
      }
    }
    for row in rows.count..<starts.count { starts.integers[row] = Int32(next) }
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
    memory.enter(
      sequences.map { $0.sampler.processor?.adjustments ?? [] }, on: model.backend)
    adjustedLogits = memory
    let result = memory.logits[0..<logits.rows]
    model.backend.adjust(
      logits, vocabulary: model.configuration.vocabularySize, by: memory.adjustments,
      starts: memory.starts, into: result)
    return result
  }
}
