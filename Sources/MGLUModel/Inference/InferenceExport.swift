extension ModelFolder {
  /// Writes the model of `folder` as inference needs it, and returns its configuration: matrices as
  /// `weights`, masks as packed bits, nothing of the optimizer.
  ///
  /// An INT8 matrix `NAME` I8 `[rows, columns]` has FP16 scales `NAME_scale`
  /// `[rows, ceil(columns / 32)]`; an element is worth integer times scale. Norms and the router
  /// stay float32. Matrices are converted one by one, as they are written. What
  /// ``loadForInference(_:weights:precision:on:)`` maps is read where it lies.
  public static func convertForInference(
    _ folder: String, weights: WeightType, to output: String, on backend: CPUBackend
  ) throws(CheckpointError) -> ModelConfiguration {
    let (configuration, tensors) = try open(folder)
    var items: [SafeTensorsWriter.Item] = []
    for parameter in configuration.parameters {
      let (name, tensor) = (parameter.name, parameter.tensor)
      if let masks = parameter.packedMasksName {
        let bits = try tensors.masks(ofLogits: name, shape: tensor.shape, on: backend)
        items.append(.init(name: masks, tensor: bits))
      } else if tensor.shape.count == 2 {
        let stored = try tensors.matrix(
          name, rows: tensor.rows, columns: tensor.columns, on: backend)
        let type = parameter.isProjection ? weights : .float32
        items += SafeTensorsWriter.Item.matrix(name, stored, as: type, on: backend)
      } else {
        let vector = try tensors.vector(name, count: tensor.count, on: backend)
        items.append(.init(name: name, tensor: vector))
      }
    }
    try write(
      items, HuggingFaceConfiguration(configuration, weights: weights, packedMasks: true),
      to: output)
    return configuration
  }
}

extension ModelConfiguration {
  /// Names and shapes of every parameter; their elements do not exist.
  var parameters: [NamedTensor] {
    var result: [NamedTensor] = []
    _ = ArenaLayout.measure { layout in
      result = ModelWeights(self, in: &layout).named(self)
    }
    return result
  }
}
