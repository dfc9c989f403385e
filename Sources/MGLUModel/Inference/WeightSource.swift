/// Where a model for inference has its weights from, by their Hugging Face names.
///
/// What a source returns may view memory that it owns, such as a mapped file.
public protocol WeightSource {
  /// The matrix `name` `[rows, columns]` as it is stored.
  func matrix(
    _ name: String, rows: Int, columns: Int, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix
  /// The float32 vector `name`.
  func vector(
    _ name: String, count: Int, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor
  /// The bits `[n_m, d, ceil(h / 8)]` of the masks whose logits `[n_m, d, h]` are called `name`.
  func masks(
    ofLogits name: String, shape: [Int], on host: CPUBackend
  ) throws(CheckpointError) -> Tensor
}

extension LanguageModel: WeightSource {
  public func matrix(
    _ name: String, rows: Int, columns: Int, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    StoredMatrix(weights: try parameter(name, shape: [rows, columns]))
  }

  public func vector(
    _ name: String, count: Int, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    try parameter(name, shape: [count])
  }

  public func masks(
    ofLogits name: String, shape: [Int], on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    MaskBits.pack(try parameter(name, shape: shape), on: host)
  }

  private func parameter(_ name: String, shape: [Int]) throws(CheckpointError) -> Tensor {
    guard let found = namedParameters.first(where: { $0.name == name }) else {
      throw CheckpointError(.missingTensor, "the model has no \(name)")
    }
    guard found.tensor.shape == shape else {
      throw CheckpointError(
        .disagreement, "\(name) has the shape \(found.tensor.shape), expected \(shape)")
    }
    return found.tensor
  }
}

extension CheckpointTensors: WeightSource {
  public func matrix(
    _ name: String, rows: Int, columns: Int, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    let weights = try view(
      name, shape: [rows, columns], types: WeightType.allCases.map(\.dataType))
    guard weights.dataType == .int8 else { return StoredMatrix(weights: weights) }
    return StoredMatrix(
      weights: weights,
      scales: try view(
        ParameterNames.scales(of: name),
        shape: WeightType.scalesShape(rows: rows, columns: columns), types: [.float16]))
  }

  public func vector(
    _ name: String, count: Int, on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    let target = host.allocate { $0.tensor([count]) }
    try load(name, into: target)
    return target
  }

  /// From the logits where the checkpoint still has them, else the packed masks.
  public func masks(
    ofLogits name: String, shape: [Int], on host: CPUBackend
  ) throws(CheckpointError) -> Tensor {
    guard contains(name) else { return try packedMasks(ofLogits: name, shape: shape) }
    let logits = host.allocate { $0.tensor(shape) }
    try load(name, into: logits)
    return MaskBits.pack(logits, on: host)
  }
}
