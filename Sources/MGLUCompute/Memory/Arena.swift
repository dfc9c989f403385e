/// One owned allocation, or one mapped file, that any number of tensors view.
///
/// Parameters, gradients, optimiser moments and workspace are one arena each, so that whatever
/// treats all of them alike (AdamW, the gradient norm, zeroing) is a single pass.
///
/// An arena may be read from several threads at once; whoever writes through a tensor must be the
/// only one using the elements it views. That is what `@unchecked Sendable` promises here.
public final class Arena: @unchecked Sendable {
  private enum Memory: ~Copyable {
    case owned(HostBuffer)
    case mapped(MappedFile)
  }

  private let memory: Memory
  /// The size in bytes.
  public let byteCount: Int
  package let base: UnsafeMutableRawPointer

  /// Allocates `byteCount` zeroed bytes.
  init(byteCount: Int) {
    let buffer = HostBuffer(byteCount: byteCount)
    (base, self.byteCount) = (buffer.base, byteCount)
    memory = .owned(buffer)
  }

  /// The bytes of `file`, which may be read only.
  package init(_ file: MappedFile) {
    base =
      file.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
      // An empty file has no bytes that anyone could read here.
      ?? UnsafeMutableRawPointer(bitPattern: HostBuffer.alignment)!
    byteCount = file.byteCount
    memory = .mapped(file)
  }

  /// Elements that lie `byteOffset` bytes from the start.
  ///
  /// - Precondition: the arena holds them.
  package func view(at byteOffset: Int, _ shape: [Int], _ dataType: DataType) -> Tensor {
    let tensor = Tensor(arena: self, byteOffset: byteOffset, shape: shape, dataType: dataType)
    precondition(byteOffset >= 0 && byteOffset + tensor.byteCount <= byteCount)
    return tensor
  }
}
