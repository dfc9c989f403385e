/// One owned allocation, or one mapped file, that any number of tensors view: memory of this
/// machine, or of a GPU, or of this machine that GPUs reach.
///
/// Parameters, gradients, optimizer moments and workspace are one arena each, so that whatever
/// treats all of them alike (AdamW, the gradient norm, zeroing) is a single pass.
///
/// An arena may be read from several threads at once; whoever writes through a tensor must be the
/// only one using the elements it views. That is what `@unchecked Sendable` promises here.
public final class Arena: @unchecked Sendable {
  private enum Memory: ~Copyable {
    case owned(HostBuffer)
    case substitute(HostBuffer)
    case mapped(MappedFile)
    case device(DeviceBuffer)
    case pinned(PinnedBuffer)
  }

  private let memory: Memory
  /// The size in bytes.
  public let byteCount: Int
  /// Whether the host can read the bytes; else they are a GPU's alone.
  public let isHostVisible: Bool
  /// Where the bytes lie; for a GPU's memory an address that only the GPU can follow.
  package let base: UnsafeMutableRawPointer

  /// Allocates `byteCount` zeroed bytes.
  init(byteCount: Int) {
    let buffer = HostBuffer(byteCount: byteCount)
    (base, self.byteCount) = (buffer.base, byteCount)
    isHostVisible = true
    memory = .owned(buffer)
  }

  /// The bytes of `file`, which may be read only.
  package init(_ file: MappedFile) {
    base =
      file.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
      // An empty file has no bytes that anyone could read here.
      ?? UnsafeMutableRawPointer(bitPattern: HostBuffer.alignment)!
    byteCount = file.byteCount
    isHostVisible = true
    memory = .mapped(file)
  }

  /// The memory of a GPU.
  package init(_ buffer: consuming DeviceBuffer) {
    // The driver places no memory at 0.
    base = UnsafeMutableRawPointer(bitPattern: UInt(buffer.address))!
    byteCount = buffer.byteCount
    isHostVisible = false
    memory = .device(buffer)
  }

  /// Memory that this machine and its GPUs read and write.
  package init(_ buffer: consuming PinnedBuffer) {
    base = buffer.base
    byteCount = buffer.byteCount
    isHostVisible = true
    memory = .pinned(buffer)
  }

  /// What takes the place of a GPU's memory that could not be had: the host may write it where it
  /// could have written the other.
  init(substituteOf byteCount: Int, isHostVisible: Bool) {
    let buffer = HostBuffer(byteCount: isHostVisible ? byteCount : 0)
    base = buffer.base
    self.byteCount = byteCount
    self.isHostVisible = isHostVisible
    memory = .substitute(buffer)
  }

  /// Whether a GPU can follow the addresses: its own memory, or pinned memory.
  package var isDeviceVisible: Bool {
    switch memory {
    case .substitute: true
    case .owned: false
    case .mapped: false
    case .device: true
    case .pinned: true
    }
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
