import MGLUTraining

/// How fast steps of a model can be at most: by the bytes that they read, at the read bandwidth, and, on a
/// GPU, by their arithmetic, at the rate of a large product.
package struct StepBound {
  private let model: InferenceModel
  /// Bytes a second.
  private let bandwidth: Double
  /// Floating-point operations a second; `nil` where a large product is no bound.
  private let productRate: Double?

  /// The bound of a model's steps.
  package init(_ model: InferenceModel, bandwidth: Double, productRate: Double?) {
    (self.model, self.bandwidth, self.productRate) = (model, bandwidth, productRate)
  }

  /// Floating-point operations a second of a large product on a GPU. A CPU multiplies prompts in other
  /// ways than its BLAS does.
  package static func productRate(on backend: any InferenceBackend) throws -> Double? {
    guard backend.deviceMemory != nil, let training = backend.training else { return nil }
    return 1e12 * (try TrainingBenchmark.productRate(on: training))
  }

  /// Seconds of a step of `rows` sequences at a position: weights are read once for all rows.
  package func decode(rows: Int, position: Double) -> Double {
    let cache = Double(rows) * position * Double(model.cacheByteCountPerToken)
    let operations =
      Double(rows) * model.configuration.trainingFLOP(length: Int(2 * position)) / 3
    return longer((Double(model.byteCountPerToken) + cache) / bandwidth, operations)
  }

  /// Seconds of the prefill of a prompt, whose logits are those of its last token.
  package func prefill(_ count: Int) -> Double {
    let c = model.configuration
    let head = 2 * Double(c.vocabularySize * c.hiddenSize)
    let operations = Double(count) * (c.trainingFLOP(length: count) / 3 - head) + head
    return longer(Double(model.byteCountPerToken) / bandwidth, operations)
  }

  private func longer(_ seconds: Double, _ operations: Double) -> Double {
    max(seconds, productRate.map { operations / $0 } ?? 0)
  }
}
