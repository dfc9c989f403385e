/// Where a model for inference has its weights from.
///
/// What a source returns may view memory that it owns, such as a mapped file.
public protocol WeightSource {
  /// The type in which the model is best computed, where the type of its embedding does not tell.
  var weightType: WeightType? { get }
  /// A matrix as it is stored.
  func matrix(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix
  /// A vector, float32.
  func vector(_ parameter: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor
  /// The bits `[n_m, d, ceil(h / 8)]` of masks by their logits `[n_m, d, h]`.
  func masks(of logits: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor
}

extension WeightSource {
  public var weightType: WeightType? { nil }
}

extension LanguageModel: WeightSource {
  public func matrix(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    StoredMatrix(weights: try tensor(parameter))
  }

  public func vector(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    try tensor(parameter)
  }

  public func masks(
    of logits: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    MaskBits.pack(try tensor(logits), on: host)
  }

  private func tensor(_ parameter: Parameter) throws(CheckpointError) -> Tensor {
    guard let found = namedParameters.first(where: { $0.name == parameter.name }) else {
      throw CheckpointError(.missingTensor, "the model has no \(parameter.name)")
    }
    guard found.tensor.shape == parameter.shape else {
      throw CheckpointError(
        .disagreement,
        "\(parameter.name) has the shape \(found.tensor.shape), expected \(parameter.shape)")
    }
    return found.tensor
  }
}

extension CheckpointTensors: WeightSource {
  public func matrix(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    let shape = parameter.shape
    let weights = try view(
      parameter.name, shape: shape, types: WeightType.allCases.map(\.dataType))
    guard weights.dataType == .int8 else { return StoredMatrix(weights: weights) }
    return StoredMatrix(
      weights: weights,
      scales: try view(
        parameter.scalesName, shape: WeightType.scalesShape(rows: shape[0], columns: shape[1]),
        types: [.float16]))
  }

  public func vector(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    let target = host.allocate { $0.tensor(parameter.shape) }
    try load(parameter.name, into: target)
    return target
  }

  /// From the logits where the checkpoint still has them, else the packed masks.
  public func masks(
    of logits: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    guard contains(logits.name) else { return try packedMasks(of: logits) }
    let tensor = host.allocate { $0.tensor(logits.shape) }
    try load(logits.name, into: tensor)
    return MaskBits.pack(tensor, on: host)
  }
}
