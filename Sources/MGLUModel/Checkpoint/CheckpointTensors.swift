#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The tensors of a model: one `model.safetensors`, or shards under an index, or a GGUF file's.
public struct CheckpointTensors: Sendable {
  private let path: String
  private let files: [any TensorFile]
  private let fileOfTensor: [String: Int]
  /// Tensors that are rows of others, by their names.
  private var slices: [String: Slice] = [:]

  /// Rows of a tensor.
  private struct Slice {
    let whole: String
    let wholeRows: Int
    let firstRow: Int
  }

  /// Opens every file of the checkpoint in `folder`, or the GGUF file of that name.
  public init(folder: String) throws(CheckpointError) {
    self = try ModelFolder.parts(of: folder).tensors()
  }

  /// The tensors of one file.
  init(_ file: any TensorFile) {
    self.init(
      path: file.path, files: [file],
      fileOfTensor: Dictionary(
        file.names.map { ($0, 0) }, uniquingKeysWith: { first, _ in first }))
  }

  private init(path: String, files: [any TensorFile], fileOfTensor: [String: Int]) {
    (self.path, self.files, self.fileOfTensor) = (path, files, fileOfTensor)
  }

  /// Opens every file of the checkpoint in `folder`.
  init(huggingFace folder: String) throws(CheckpointError) {
    let single = folder + "/model.safetensors"
    let index = folder + "/model.safetensors.index.json"
    if Folder.kind(of: single) != nil || Folder.kind(of: index) == nil {
      self.init(try SafeTensors(path: single))
      return
    }
    let map = try Self.weightMap(index)
    let names = Set(map.values).sorted()
    var opened: [SafeTensors] = []
    for name in names {
      guard !name.contains("/"), name != ".." else {
        throw CheckpointError(.malformed, "\(index): the shard \(name) is outside the folder")
      }
      opened.append(try SafeTensors(path: folder + "/" + name))
    }
    var fileOfTensor: [String: Int] = [:]
    for (tensor, name) in map {
      guard let file = names.firstIndex(of: name), opened[file][tensor] != nil else {
        throw CheckpointError(.missingTensor, "\(folder)/\(name) lacks \(tensor)")
      }
      fileOfTensor[tensor] = file
    }
    self.init(path: folder, files: opened, fileOfTensor: fileOfTensor)
  }

  private static func weightMap(_ path: String) throws(CheckpointError) -> [String: String] {
    struct Index: Decodable {
      let weightMap: [String: String]
      enum CodingKeys: String, CodingKey { case weightMap = "weight_map" }
    }
    do {
      let file = try MappedFile(path: path)
      return try JSONDecoder().decode(Index.self, from: Data(file.contents)).weightMap
    } catch let error as FileError {
      throw CheckpointError(reading: error)
    } catch {
      throw CheckpointError(.malformed, "\(path): no weight_map of names to files")
    }
  }

  /// Whether there is a tensor called `name`.
  public func contains(_ name: String) -> Bool { fileOfTensor[name] != nil }

  /// The type in which the model is best computed, where the type of its embedding does not tell.
  public var weightType: WeightType? { files.count == 1 ? files[0].weightType : nil }

  /// The names of all tensors, sorted.
  public var names: [String] { fileOfTensor.keys.sorted() }

  /// Finds the parts of `matrices` in the whole ones, where the checkpoint has those, and returns the
  /// names of what it has.
  mutating func divide(_ matrices: [MergedMatrix]) -> [String] {
    var names: [String] = []
    for matrix in matrices where contains(matrix.name) && !contains(matrix.parts[0].name) {
      names += [matrix.name, matrix.scalesName]
      var row = 0
      for part in matrix.parts {
        slices[part.name] = Slice(whole: matrix.name, wholeRows: matrix.rows, firstRow: row)
        slices[part.scalesName] = Slice(
          whole: matrix.scalesName, wholeRows: matrix.rows, firstRow: row)
        row += part.shape[0]
      }
    }
    return names
  }

  /// Reads another tensor of the same shape in place of `parameter`.
  mutating func substitute(_ other: Parameter, for parameter: Parameter) {
    let rows = parameter.shape[0]
    slices[parameter.name] = Slice(whole: other.name, wholeRows: rows, firstRow: 0)
    slices[parameter.scalesName] = Slice(whole: other.scalesName, wholeRows: rows, firstRow: 0)
  }

  /// Whether two tensors have the same bytes.
  func areEqual(_ name: String, _ other: String) throws(CheckpointError) -> Bool {
    let (a, b) = (try file(of: name), try file(of: other))
    guard let found = a.description(of: name), found == b.description(of: other) else {
      return false
    }
    return a.tensor(name).hasSameBytes(as: b.tensor(other))
  }

  /// Converts the tensor `name`, of F32, F16 or BF16, to float32 in `target`, whose shape it must
  /// have.
  public func load(_ name: String, into target: Tensor) throws(CheckpointError) {
    try file(of: name).loadFloats(name, into: target)
  }

  /// Throws unless there is a tensor for `parameter` of its shape, with its scales where it is INT8,
  /// or packed masks in place of mask logits.
  func check(_ parameter: Parameter) throws(CheckpointError) {
    let (name, shape) = (parameter.name, parameter.shape)
    if let masks = parameter.packedMasksName, !contains(name) {
      _ = try file(of: masks).dataType(of: masks, shape: MaskBits.shape(of: shape))
      return
    }
    let type = try dataType(of: name, shape: shape)
    guard type == .int8, shape.count == 2 else { return }
    _ = try dataType(
      of: parameter.scalesName,
      shape: WeightType.scalesShape(rows: shape[0], columns: shape[1]))
  }

  /// The type of the tensor `name`, or of the one whose rows it is; it must have the shape given.
  private func dataType(of name: String, shape: [Int]) throws(CheckpointError) -> DataType {
    guard let slice = slices[name] else {
      return try file(of: name).dataType(of: name, shape: shape)
    }
    return try file(of: slice.whole)
      .dataType(of: slice.whole, shape: [slice.wholeRows] + shape.dropFirst())
  }

  /// The tensor `name` where it is mapped, which must have the shape and one of the types.
  func view(_ name: String, shape: [Int], types: [DataType]) throws(CheckpointError) -> Tensor {
    guard let slice = slices[name] else {
      return try file(of: name).tensor(name, shape: shape, types: types)
    }
    let whole = try file(of: slice.whole)
      .tensor(slice.whole, shape: [slice.wholeRows] + shape.dropFirst(), types: types)
    return whole[slice.firstRow..<slice.firstRow + shape[0]]
  }

  /// The packed masks that stand in for mask logits.
  func packedMasks(of logits: Parameter) throws(CheckpointError) -> Tensor {
    try view(
      logits.packedMasksName ?? logits.name, shape: MaskBits.shape(of: logits.shape),
      types: [.uint8])
  }

  private func file(of name: String) throws(CheckpointError) -> any TensorFile {
    guard let index = fileOfTensor[name] else {
      throw CheckpointError(.missingTensor, "\(path): the tensor \(name) is missing")
    }
    return files[index]
  }
}
