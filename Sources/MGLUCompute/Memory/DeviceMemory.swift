/// Memory that a backend allocated, freed when the last reference goes. Where the bytes lie on the
/// device only that backend knows, which has a type of its own for it.
public protocol DeviceMemory: AnyObject, Sendable {
  /// The size in bytes.
  var byteCount: Int { get }
  /// Where this machine reads and writes the bytes, or `nil` where only the device can.
  var hostAddress: UnsafeMutableRawPointer? { get }
}

/// Memory of this machine.
final class HostMemory: DeviceMemory, @unchecked Sendable {
  private let buffer: HostBuffer
  private let meter: MemoryMeter?

  /// Allocates `byteCount` zeroed bytes, which a meter counts.
  init(byteCount: Int, meter: MemoryMeter? = nil) {
    buffer = HostBuffer(byteCount: byteCount)
    self.meter = meter
    meter?.count(byteCount)
  }

  deinit { meter?.count(-buffer.byteCount) }

  var byteCount: Int { buffer.byteCount }
  var hostAddress: UnsafeMutableRawPointer? { buffer.base }
}

/// The bytes of a file, which may be read only.
private final class MappedMemory: DeviceMemory, @unchecked Sendable {
  private let file: MappedFile

  init(_ file: MappedFile) { self.file = file }

  var byteCount: Int { file.byteCount }
  var hostAddress: UnsafeMutableRawPointer? {
    file.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
      // An empty file has no bytes that anyone could read here.
      ?? UnsafeMutableRawPointer(bitPattern: HostBuffer.alignment)
  }
}

extension Arena {
  /// Allocates `byteCount` zeroed bytes of this machine.
  package convenience init(byteCount: Int) { self.init(HostMemory(byteCount: byteCount)) }

  /// The bytes of `file`, which may be read only.
  package convenience init(_ file: MappedFile) { self.init(MappedMemory(file)) }
}
