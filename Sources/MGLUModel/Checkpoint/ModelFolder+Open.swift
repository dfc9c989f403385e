// How a model's files are opened: configuration and tensors, checked against each other.

extension ModelFolder {
  /// Configuration and tensors of the model in `folder`, checked against each other.
  package static func open(
    _ folder: String
  ) throws(CheckpointError) -> (ModelConfiguration, CheckpointTensors) {
    let parts = try parts(of: folder)
    var configuration = try configuration(of: parts)
    var tensors = try parts.tensors()
    try checkCount(tensors, configuration, folder: folder)
    try tie(&configuration, &tensors)
    let merged = tensors.divide(configuration.mergedMatrices)
    try check(tensors, configuration, merged: merged, folder: folder)
    return (configuration, tensors)
  }

  /// Looks at the head of a model whose embedding is said to be it, as transformers does: a head of other
  /// elements stays apart, and one without an embedding beside it is both.
  private static func tie(
    _ configuration: inout ModelConfiguration, _ tensors: inout CheckpointTensors
  ) throws(CheckpointError) {
    guard configuration.tiesEmbeddings else { return }
    var untied = configuration
    untied.tiesEmbeddings = false
    let table = untied.parameterTable
    guard let head = table.untiedHead?.first, tensors.contains(head.name) else { return }
    let embedding = table.embedding[0]
    if !tensors.contains(embedding.name) {
      tensors.substitute(head, for: embedding)
    } else if try !tensors.areEqual(embedding.name, head.name) {
      configuration = untied
    }
  }

  /// Compares the number of layers with that of tensors before layers are described one by one.
  private static func checkCount(
    _ tensors: CheckpointTensors, _ configuration: ModelConfiguration, folder: String
  ) throws(CheckpointError) {
    guard tensors.names.count >= configuration.layers else {
      throw CheckpointError(
        .disagreement,
        "\(folder): config.json wants \(configuration.layers) layers, but there are "
          + "only \(tensors.names.count) tensors")
    }
  }

  /// Checks names and shapes before any memory is allocated for what `config.json` claims. A
  /// tensor that the model has no place for means that configuration and weights disagree.
  private static func check(
    _ tensors: CheckpointTensors, _ configuration: ModelConfiguration, merged: [String],
    folder: String
  ) throws(CheckpointError) {
    var expected = Set(merged)
    for parameter in configuration.parameterTable.parameters {
      expected.insert(parameter.name)
      if let masks = parameter.packedMasksName { expected.insert(masks) }
      if parameter.isPacked { expected.insert(parameter.scalesName) }
      try tensors.check(parameter)
    }
    // Tied models may carry the head again, and old ones the rotary frequencies.
    if configuration.tiesEmbeddings {
      expected.formUnion(["lm_head.weight", "lm_head.weight_scale"])
    }
    if let extra = tensors.names.first(where: {
      !expected.contains($0) && !$0.hasSuffix("rotary_emb.inv_freq")
    }) {
      throw CheckpointError(
        .disagreement, "\(folder): the tensor \(extra) has no place in the model of config.json")
    }
  }
}
