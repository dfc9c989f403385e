extension LanguageModel {
  /// The stock Llama that computes the same: an MGLU written out as a GLU of width n_m d.
  ///
  ///     Wg = [M_1 (.) W; ...; M_n (.) W],  Wv = [(1 - M_1) (.) W; ...],  Wo' = [Wo ... Wo]
  ///
  /// Masks become zeros, so the result has 3 n_m h d feed-forward weights in place of 2 h d. A GLU
  /// is copied, a shared GLU becomes one with equal gate and value. What a Llama cannot express is
  /// refused: LU has no gate, and a router weights each route for each token.
  public func llamaExport() throws(CheckpointError) -> LanguageModel {
    var target = configuration
    target.feedForward.unit = .glu
    switch configuration.feedForward.unit {
    case .glu, .sharedGLU: break
    case .lu:
      throw CheckpointError(
        .notExportable, "a plain feed-forward layer has no gate, which every Llama block has",
        remedy: "export a GLU or an MGLU")
    case .mglu(let masks):
      if let ablation = masks.ablation {
        throw CheckpointError(
          .notExportable,
          "a model with \(ablation.rawValue) is a control for experiments, which "
            + "is not exported", remedy: "export an MGLU with both masks")
      }
      if masks.routerTopK != nil {
        throw CheckpointError(
          .notExportable, "a router weights the masks for each token, which no Llama does",
          remedy: "export an MGLU without a router")
      }
      target.feedForward.intermediateSize *= masks.count
    }
    let result: LanguageModel
    do { result = try LanguageModel(target, on: backend) } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    for (from, to) in zip(
      namedParameters.filter { !$0.isFeedForward },
      result.namedParameters.filter { !$0.isFeedForward })
    { backend.host.copy(from.tensor, into: to.tensor) }
    for (from, to) in zip(weights.layers, result.weights.layers) {
      if let unit = to.unit as? GatedLinearUnit {
        from.unit.expand(gate: unit.gate, value: unit.value, on: backend.host)
      }
      from.down.repeatColumns(into: to.down)
    }
    result.upload()
    return result
  }
}

extension NamedTensor {
  fileprivate var isFeedForward: Bool { name.contains(".mlp.") }
}

extension FeedForwardUnit {
  /// Writes the gate's and the value's weights `[n_m d, h]` of the equal GLU.
  fileprivate func expand(gate: Tensor, value: Tensor, on backend: CPUBackend) {
    switch self {
    case let unit as GatedLinearUnit:
      backend.copy(unit.gate, into: gate)
      backend.copy(unit.value, into: value)
    case let unit as MaskedGatedLinearUnit:
      let count = unit.weight.count
      for index in 0..<unit.maskLogits.count {
        let isGate = unit.maskLogits.floats[index] > 0
        let weight = unit.weight.floats[index % count]
        gate.floats[index] = isGate ? weight : 0
        value.floats[index] = isGate ? 0 : weight
      }
    case let unit as any UnmaskedUnit:
      backend.copy(unit.weight, into: gate)
      backend.copy(unit.weight, into: value)
    default: break
    }
  }
}

extension Tensor {
  /// Fills every row of `target` `[r, n c]` with n copies of this row `[r, c]`.
  fileprivate func repeatColumns(into target: Tensor) {
    for row in 0..<target.rows {
      for column in 0..<target.columns {
        target.floats[row * target.columns + column] = floats[row * columns + column % columns]
      }
    }
  }
}
