extension LanguageModel {
  /// The stock Llama, or model of another ``ModelFamily``, that computes the same: an MGLU written out as
  /// a GLU n_m times as wide (see `LlamaWeights`). Models that none computes are refused.
  public func llamaExport() throws(CheckpointError) -> LanguageModel {
    let weights = try LlamaWeights(configuration, from: self)
    guard weights.configuration.stockFamily != nil else {
      throw CheckpointError(
        .notExportable,
        "no stock model has this attention: \(weights.configuration.attentionSummary)",
        remedy: "export a model with the attention of one of "
          + ModelFamily.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let result: LanguageModel
    do { result = try LanguageModel(weights.configuration, on: backend) } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    for named in result.namedParameters {
      let (parameter, target) = (named.parameter, named.tensor)
      if parameter.shape.count == 2 {
        let matrix = try weights.matrix(parameter, on: backend.host)
        backend.host.dequantize(matrix, into: target)
      } else {
        backend.host.copy(try weights.vector(parameter, on: backend.host), into: target)
      }
    }
    result.upload()
    return result
  }
}
