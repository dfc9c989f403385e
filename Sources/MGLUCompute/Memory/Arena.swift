/// One owned allocation, or one mapped file, that any number of tensors view, each at an offset of its
/// own: memory of this machine, or of a device. A window is a part of one, addressed as another arena's.
///
/// Parameters, gradients, optimizer moments and workspace are one arena each, so that whatever
/// treats all of them alike (AdamW, the gradient norm, zeroing) is a single pass.
///
/// An arena may be read from several threads at once; whoever writes through a tensor must be the
/// only one using the elements it views. That is what `@unchecked Sendable` promises here.
public final class Arena: @unchecked Sendable {
  /// The memory, whose place on a device only the backend knows that allocated it.
  public let memory: any DeviceMemory
  /// The size in bytes.
  public let byteCount: Int
  /// Where this machine reads and writes the bytes, or `nil` where only a device can.
  let hostAddress: UnsafeMutableRawPointer?
  /// The offset that the first byte of the memory has: 0 but for a window.
  let origin: Int
  /// Whether it is none yet: what is laid out in it is only measured.
  let isPlan: Bool

  /// An arena over the whole of `memory`.
  public init(_ memory: any DeviceMemory) {
    self.memory = memory
    byteCount = memory.byteCount
    hostAddress = memory.hostAddress
    origin = 0
    isPlan = false
  }

  /// What stands for an arena while a layout is measured.
  init(plan memory: any DeviceMemory) {
    self.memory = memory
    byteCount = 0
    hostAddress = memory.hostAddress
    origin = 0
    isPlan = true
  }

  /// The memory of `arena` from `offset` on in the place of some bytes of a larger arena: tensors have the
  /// offsets there that they have in that one.
  init(windowOf arena: Arena, at offset: Int, for bytes: Range<Int>) {
    memory = arena.memory
    byteCount = bytes.upperBound
    hostAddress = arena.hostAddress
    origin = bytes.lowerBound - offset
    isPlan = arena.isPlan
  }

  /// Whether this machine can read the bytes; else only a device can.
  public var isHostVisible: Bool { hostAddress != nil }

  /// Elements that lie `byteOffset` bytes from the start.
  ///
  /// - Precondition: the arena holds them.
  package func view(at byteOffset: Int, _ shape: [Int], _ dataType: DataType) -> Tensor {
    let tensor = Tensor(arena: self, byteOffset: byteOffset, shape: shape, dataType: dataType)
    precondition(
      byteOffset >= 0 && byteOffset + tensor.byteCount <= byteCount,
      "\(shape) at byte \(byteOffset) lies outside an arena of \(byteCount) bytes")
    return tensor
  }
}
