/// A safetensors file, mapped: names, types and shapes are read at once, elements when touched.
///
/// The reader trusts nothing: header length, shapes, offsets and their arithmetic are checked, and
/// the tensors must cover the data exactly, without overlap and without holes.
public struct SafeTensors: Sendable {
  /// One tensor of the file.
  public struct Entry: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// Its element type.
    public let dataType: DataType
    /// Its shape, outermost first.
    public let shape: [Int]
    /// Where its bytes lie in the file.
    public let byteRange: Range<Int>
  }

  /// The tensors in the order of their bytes.
  public let entries: [Entry]
  /// The `__metadata__` of the file.
  public let metadata: [String: String]
  /// Where the file lies.
  public var path: String { file.path }
  private let file: MappedFile
  private let arena: Arena
  private let indices: [String: Int]

  /// Opens and checks the file at `path`.
  public init(path: String) throws(CheckpointError) {
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(reading: error) }
    arena = Arena(file)
    let header = try SafeTensorsHeader(file.bytes, path: path)
    entries = header.entries
    metadata = header.metadata
    indices = Dictionary(
      uniqueKeysWithValues: header.entries.enumerated().map { ($1.name, $0) })
  }

  /// The tensor called `name`.
  public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  /// Reads the bytes of `entry`, little-endian and row-major.
  public func withBytes<R, E: Error>(
    of entry: Entry, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    try body(RawSpan(_unsafeBytes: bytes(of: entry)))
  }

  /// The elements of `entry` where they are mapped: they may be read only, and lie at any address.
  package func view(of entry: Entry) -> Tensor {
    arena.view(at: entry.byteRange.lowerBound, entry.shape, entry.dataType)
  }

  package func bytes(of entry: Entry) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[entry.byteRange])
  }
}

extension DataType {
  /// The name in a safetensors header.
  var safeTensorsName: String {
    switch self {
    case .float64: "F64"
    case .float32: "F32"
    case .float16: "F16"
    case .bfloat16: "BF16"
    case .int64: "I64"
    case .int32: "I32"
    case .int16: "I16"
    case .int8: "I8"
    case .uint8: "U8"
    case .bool: "BOOL"
    }
  }

  init?(safeTensorsName name: String) {
    guard let found = Self.allCases.first(where: { $0.safeTensorsName == name }) else {
      return nil
    }
    self = found
  }
}
