extension ModelFolder {
  /// Writes the model of `folder` as inference needs it, and returns its configuration: matrices as
  /// `weights`, masks as packed bits, nothing of the optimizer.
  ///
  /// An INT8 matrix `NAME` I8 `[rows, columns]` has FP16 scales `NAME_scale`
  /// `[rows, ceil(columns / 32)]`; an element is worth integer times scale. Norms and the router
  /// stay float32. Matrices are converted one by one, as they are written. What
  /// ``loadForInference(_:weights:precision:on:communicator:)`` maps is read where it lies.
  public static func convertForInference(
    _ folder: String, weights: WeightType, to output: String, on backend: CPUBackend
  ) throws(CheckpointError) -> ModelConfiguration {
    let (configuration, tensors) = try open(folder)
    var items: [SafeTensorsWriter.Item] = []
    for parameter in configuration.parameterTable.parameters {
      let name = parameter.name
      if let masks = parameter.packedMasksName {
        items.append(.init(name: masks, tensor: try tensors.masks(of: parameter, on: backend)))
      } else if parameter.shape.count == 2 {
        let stored = try tensors.matrix(parameter, on: backend)
        let type = parameter.isPacked ? weights : .float32
        items += SafeTensorsWriter.Item.matrix(parameter, stored, as: type, on: backend)
      } else {
        items.append(.init(name: name, tensor: try tensors.vector(parameter, on: backend)))
      }
    }
    try write(
      items, of: configuration,
      HuggingFaceConfiguration(configuration, weights: weights, packedMasks: true),
      to: output)
    return configuration
  }
}
