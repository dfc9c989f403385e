import MGLUModel

extension SyntheticUnit {
  /// The unit for inference over weights of `type`, and the reference over the same, widened.
  package func inferenceUnit(
    as type: WeightType, on backend: any InferenceBackend
  ) -> (FusedFeedForward, ReferenceUnit) {
    let c = configuration
    let host = backend.host
    func tensor(_ matrix: ReferenceMatrix, _ shape: [Int]? = nil) -> Tensor {
      let tensor = host.allocate { $0.tensor(shape ?? [matrix.rows, matrix.columns]) }
      tensor.assign(matrix.floats)
      return tensor
    }
    func stored(_ matrix: inout ReferenceMatrix) -> StoredMatrix {
      let target = tensor(matrix)
      let stored = host.quantize(tensor(matrix), as: type)
      host.dequantize(stored, into: target)
      matrix = ReferenceMatrix(target)
      return stored
    }
    var reference = reference()
    var matrices = [stored(&reference.weight)]
    if var value = reference.valueWeight {
      matrices.append(stored(&value))
      reference.valueWeight = value
    }
    let parameters = c.parameters()
    let unit = FusedFeedForward(
      c, matrices: matrices,
      masks: parameters.maskLogits.map {
        MaskBits.pack(tensor(maskLogits, $0.shape), on: host)
      },
      router: router.map { StoredMatrix(weights: tensor($0)) }, on: backend)
    return (unit, reference)
  }
}
