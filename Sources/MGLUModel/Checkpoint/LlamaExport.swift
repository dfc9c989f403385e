extension LanguageModel {
  /// The stock Llama, or model of another ``ModelFamily``, that computes the same: an MGLU written out as a GLU of width n_m d.
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
    guard target.stockFamily != nil else {
      throw CheckpointError(
        .notExportable, "no stock model has this attention: \(target.attentionSummary)",
        remedy: "export a model with the attention of one of "
          + ModelFamily.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let result: LanguageModel
    do { result = try LanguageModel(target, on: backend) } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    result.copySharedParameters(of: self)
    for (from, to) in zip(weights.layers, result.weights.layers) {
      let matrices = to.unit.matrices
      from.unit.expand(gate: matrices[0], value: matrices[1], on: backend.host)
      from.down.repeatColumns(into: to.down)
    }
    result.upload()
    return result
  }
}

extension FeedForwardUnit {
  /// Writes the gate's and the value's weights `[n_m d, h]` of the equal GLU.
  fileprivate func expand(gate: Tensor, value: Tensor, on backend: CPUBackend) {
    guard let masked else {
      backend.copy(matrices[0], into: gate)
      backend.copy(matrices[matrices.count - 1], into: value)
      return
    }
    let count = weight.count
    for index in 0..<masked.maskLogits.count {
      let isGate = masked.maskLogits.floats[index] > 0
      let weight = weight.floats[index % count]
      gate.floats[index] = isGate ? weight : 0
      value.floats[index] = isGate ? 0 : weight
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
