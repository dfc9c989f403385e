#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The tensors of a checkpoint folder: one `model.safetensors`, or shards under an index.
public struct CheckpointTensors: Sendable {
  private let folder: String
  private let files: [SafeTensors]
  private let fileOfTensor: [String: Int]
  /// Tensors that are rows of others, by their names.
  private var slices: [String: Slice] = [:]

  /// Rows of a tensor.
  private struct Slice {
    let whole: String
    let wholeRows: Int
    let firstRow: Int
  }

  /// Opens every file of the checkpoint in `folder`.
  public init(folder: String) throws(CheckpointError) {
    self.folder = folder
    let single = folder + "/model.safetensors"
    let index = folder + "/model.safetensors.index.json"
    if Folder.kind(of: single) != nil || Folder.kind(of: index) == nil {
      let file = try SafeTensors(path: single)
      files = [file]
      fileOfTensor = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, 0) })
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
    files = opened
    var fileOfTensor: [String: Int] = [:]
    for (tensor, name) in map {
      guard let file = names.firstIndex(of: name), opened[file][tensor] != nil else {
        throw CheckpointError(.missingTensor, "\(folder)/\(name) lacks \(tensor)")
      }
      fileOfTensor[tensor] = file
    }
    self.fileOfTensor = fileOfTensor
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
    guard let first = a[name], let second = b[other], first.dataType == second.dataType,
      first.shape == second.shape
    else { return false }
    return a.bytes(of: first).elementsEqual(b.bytes(of: second))
  }

  /// Converts the tensor `name`, of F32, F16 or BF16, to float32 in `target`, whose shape it must
  /// have.
  public func load(_ name: String, into target: Tensor) throws(CheckpointError) {
    try file(of: name).load(name, into: target)
  }

  /// Throws unless there is a tensor for `parameter` of its shape, with its scales where it is INT8,
  /// or packed masks in place of mask logits.
  func check(_ parameter: Parameter) throws(CheckpointError) {
    let (name, shape) = (parameter.name, parameter.shape)
    if let masks = parameter.packedMasksName, !contains(name) {
      _ = try file(of: masks).entry(masks, shape: MaskBits.shape(of: shape))
      return
    }
    let entry = try entry(name, shape: shape)
    guard entry.dataType == .int8, shape.count == 2 else { return }
    _ = try self.entry(
      parameter.scalesName, shape: WeightType.scalesShape(rows: shape[0], columns: shape[1]))
  }

  /// The tensor that holds `name`, which has some shape: itself, or the one whose rows it is.
  private func entry(
    _ name: String, shape: [Int]
  ) throws(CheckpointError) -> SafeTensors.Entry {
    guard let slice = slices[name] else { return try file(of: name).entry(name, shape: shape) }
    return try file(of: slice.whole)
      .entry(slice.whole, shape: [slice.wholeRows] + shape.dropFirst())
  }

  /// The tensor `name` where it is mapped, which must have the shape and one of the types.
  func view(_ name: String, shape: [Int], types: [DataType]) throws(CheckpointError) -> Tensor {
    let entry = try entry(name, shape: shape)
    let file = try file(of: entry.name)
    guard types.contains(entry.dataType) else {
      let expected = types.map(\.safeTensorsName).joined(separator: ", ")
      throw CheckpointError(
        .unsupportedType,
        "\(file.path): \(name) is \(entry.dataType.safeTensorsName), expected \(expected)")
    }
    let whole = file.view(of: entry)
    guard let slice = slices[name] else { return whole }
    return whole[slice.firstRow..<slice.firstRow + shape[0]]
  }

  /// The packed masks that stand in for mask logits.
  func packedMasks(of logits: Parameter) throws(CheckpointError) -> Tensor {
    try view(
      logits.packedMasksName ?? logits.name, shape: MaskBits.shape(of: logits.shape),
      types: [.uint8])
  }

  private func file(of name: String) throws(CheckpointError) -> SafeTensors {
    guard let index = fileOfTensor[name] else {
      throw CheckpointError(.missingTensor, "\(folder): the tensor \(name) is missing")
    }
    return files[index]
  }
}
