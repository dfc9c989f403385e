import MGLUModel

/// Weights of no model: uniform matrices of the variance that models start from, masks of coin
/// tosses, norms of 1.
package struct RandomWeights: WeightSource {
  /// Weights that repeat what is drawn once: a billion draws would take longer than what is timed.
  package init() {}

  /// A prime, so that no row or column of a matrix repeats in step.
  private static let period = 1_000_003
  private static let uniform: [Float] = {
    var random = Philox(seed: 1, purpose: .synthetic)
    return (0..<period).map { _ in random.nextUniform() }
  }()

  package func matrix(_ parameter: Parameter, on host: CPUBackend) -> StoredMatrix {
    let tensor = host.allocate { $0.tensor(parameter.shape) }
    let scale = 2 / Float(tensor.columns).squareRoot()
    tensor.withMutableFloats { span in
      for index in span.indices { span[index] = (Self.uniform[index % Self.period] - 0.5) * scale }
    }
    return StoredMatrix(weights: tensor)
  }

  package func vector(_ parameter: Parameter, on host: CPUBackend) -> Tensor {
    let tensor = host.allocate { $0.tensor(parameter.shape) }
    tensor.assign(repeatElement(1, count: tensor.count))
    return tensor
  }

  package func masks(of logits: Parameter, on host: CPUBackend) -> Tensor {
    let bits = host.allocate { $0.tensor(MaskBits.shape(of: logits.shape), .uint8) }
    for index in bits.bytes.indices {
      bits.bytes[index] = UInt8(
        truncatingIfNeeded: Self.uniform[index % Self.period].bitPattern >> 4)
    }
    return bits
  }
}
