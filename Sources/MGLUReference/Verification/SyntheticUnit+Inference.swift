import MGLUModel

extension SyntheticUnit {
  /// The unit for inference over weights of `type`, and the reference over the same, widened.
  package func inferenceUnit(
    as type: WeightType, on backend: any InferenceBackend
  ) -> (any InferenceUnit, ReferenceUnit) {
    let c = configuration
    let (d, h) = (c.intermediateSize, c.hiddenSize)
    let host = backend.host
    func stored(_ matrix: ReferenceMatrix) -> (StoredMatrix, ReferenceMatrix) {
      let (source, target) = host.allocate { layout in
        (layout.tensor([d, h]), layout.tensor([d, h]))
      }
      source.assign(matrix.floats)
      let stored = host.quantize(source, as: type)
      host.dequantize(stored, into: target)
      return (stored, ReferenceMatrix(target))
    }
    var reference = reference()
    let (weight, wide) = stored(reference.weight)
    reference.weight = wide
    switch c.unit {
    case .lu: return (FlashLU(weight, activation: c.activation, on: backend), reference)
    case .sharedGLU:
      return (
        FlashLU(weight, activation: c.activation, isShared: true, on: backend), reference
      )
    case .glu:
      let (value, wideValue) = stored(reference.valueWeight ?? wide)
      reference.valueWeight = wideValue
      return (
        FlashGLU(gate: weight, value: value, activation: c.activation, on: backend), reference
      )
    case .mglu(let masks):
      let logits = host.allocate { $0.tensor([masks.count, d, h]) }
      logits.assign(maskLogits.floats)
      let router = router.map { matrix in
        let weight = host.allocate { $0.tensor([masks.count, h]) }
        weight.assign(matrix.floats)
        return FlashRouter(
          StoredMatrix(weights: weight), topK: masks.routerTopK ?? 1, on: backend)
      }
      let unit = FlashMGLU(
        weight, masks: MaskBits.pack(logits, on: host), activation: c.activation,
        ablation: masks.ablation, router: router, on: backend)
      return (unit, reference)
    }
  }
}
