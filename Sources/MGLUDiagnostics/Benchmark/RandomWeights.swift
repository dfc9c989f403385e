import MGLUModel

/// Weights of no model: uniform matrices of the variance that models start from, masks of coin
/// tosses, norms of 1.
package struct RandomWeights: WeightSource {
  /// Weights that are drawn anew for each name.
  package init() {}

  package func matrix(
    _ name: String, rows: Int, columns: Int, on host: CPUBackend
  ) -> StoredMatrix {
    let (_, tensor) = host.allocate { $0.tensor([rows, columns]) }
    var random = Philox(seed: 1, purpose: .synthetic, step: UInt64(name.utf8.count))
    let scale = 2 / Float(columns).squareRoot()
    tensor.withMutableFloats { span in
      for index in span.indices { span[index] = (random.nextUniform() - 0.5) * scale }
    }
    return StoredMatrix(weights: tensor)
  }

  package func vector(
    _ name: String, count: Int, on host: CPUBackend
  ) -> Tensor {
    let (_, tensor) = host.allocate { $0.tensor([count]) }
    tensor.assign(repeatElement(1, count: count))
    return tensor
  }

  package func masks(
    ofLogits name: String, shape: [Int], on host: CPUBackend
  ) -> Tensor {
    let (_, bits) = host.allocate { $0.tensor(MaskBits.shape(of: shape), .uint8) }
    var random = Philox(seed: 2, purpose: .synthetic, step: UInt64(name.utf8.count))
    for index in bits.bytes.indices {
      bits.bytes[index] = UInt8.random(in: 0...255, using: &random)
    }
    return bits
  }
}
