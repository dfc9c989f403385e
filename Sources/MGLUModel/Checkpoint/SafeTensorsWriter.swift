/// Writes safetensors files: the same tensors give the same bytes.
public enum SafeTensorsWriter {
  /// A tensor to be written: what the header says of it, and what produces its bytes.
  public struct Item {
    let name: String
    let dataType: DataType
    let shape: [Int]
    let write: (inout AtomicFile) throws(FileError) -> Void

    /// A tensor whose bytes `write` produces when their turn comes, little-endian and row-major:
    /// exactly as many as type and shape say.
    package init(
      name: String, dataType: DataType, shape: [Int],
      write: @escaping (inout AtomicFile) throws(FileError) -> Void
    ) {
      self.name = name
      self.dataType = dataType
      self.shape = shape
      self.write = write
    }

    /// A tensor of host memory as it is.
    public init(name: String, tensor: Tensor) {
      self.init(name: name, dataType: tensor.dataType, shape: tensor.shape) {
        file throws(FileError) in
        try file.write(contentsOf: UnsafeRawBufferPointer(tensor.bytes))
      }
    }

    /// A matrix as `type`, which is made when its turn to be written comes; integers and their scales
    /// each in turn.
    static func matrix(
      _ parameter: Parameter, _ matrix: StoredMatrix, as type: WeightType, on backend: CPUBackend
    ) -> [Item] {
      func item(
        _ name: String, _ dataType: DataType, _ shape: [Int],
        _ part: @escaping (StoredMatrix) -> Tensor?
      ) -> Item {
        Item(name: name, dataType: dataType, shape: shape) { file throws(FileError) in
          guard let tensor = part(backend.converted(matrix, to: type)) else { return }
          try file.write(contentsOf: UnsafeRawBufferPointer(tensor.bytes))
        }
      }
      let weights = item(parameter.name, type.dataType, matrix.weights.shape) { $0.weights }
      guard type == .int8 else { return [weights] }
      let shape = WeightType.scalesShape(rows: matrix.rows, columns: matrix.columns)
      return [weights, item(parameter.scalesName, .float16, shape) { $0.scales }]
    }

    var byteCount: Int { shape.reduce(dataType.byteCount, *) }
  }

  /// Writes `items` in their order and returns the file's CRC-32C.
  @discardableResult
  public static func write(
    _ items: [Item], metadata: [String: String] = ["format": "pt"], to path: String
  ) throws(FileError) -> UInt32 {
    var fields: [(String, JSONValue)] = []
    if !metadata.isEmpty {
      let values = metadata.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }
      fields.append(("__metadata__", .object(values)))
    }
    var offset = 0
    for item in items {
      let end = offset + item.byteCount
      let field: [(String, JSONValue)] = [
        ("dtype", .string(item.dataType.safeTensorsName)),
        ("shape", .array(item.shape.map(JSONValue.integer))),
        ("data_offsets", .array([.integer(offset), .integer(end)])),
      ]
      fields.append((item.name, .object(field)))
      offset = end
    }
    var header = JSONValue.object(fields).bytes
    // Elements begin on a cache line of the mapped file; the format asks for 8 bytes.
    while (8 + header.count) % 64 != 0 { header.append(UInt8(ascii: " ")) }
    var file = try AtomicFile(path: path)
    let length = UInt64(header.count)
    try file.write((0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + header)
    for item in items {
      let before = file.byteCount
      try item.write(&file)
      precondition(file.byteCount - before == item.byteCount, "\(item.name): wrong byte count")
    }
    let checksum = file.checksum
    try file.commit()
    return checksum
  }
}
