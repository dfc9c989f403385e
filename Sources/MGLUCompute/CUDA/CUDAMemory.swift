/// Owned memory of a GPU, freed when the owner goes. Its content is not defined at first.
public struct DeviceBuffer: ~Copyable, Sendable {
  /// Where it lies, aligned to 256 bytes at least.
  public let address: UInt64
  /// The size in bytes.
  public let byteCount: Int
  /// Whose memory it is.
  public let context: CUDAContext

  /// Allocates `byteCount` bytes, one at least.
  ///
  /// - Throws: ``CUDAProblem/outOfMemory``, with what was asked for and what is free.
  public init(byteCount: Int, on context: CUDAContext) throws(CUDAError) {
    let driver = try context.current()
    var address: UInt64 = 0
    try context.driver.check(
      driver.cuMemAlloc(&address, max(byteCount, 1)), "cuMemAlloc", requesting: byteCount)
    self.address = address
    self.byteCount = byteCount
    self.context = context
  }

  deinit {
    // Nothing can be done about a failure here; one that matters shows at the next call too.
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuMemFree(address)
  }
}

/// Owned memory of this machine that stays in place, so that GPUs read and write it themselves:
/// copies run at the full speed of the bus, and the one address is valid on both sides.
///
/// Its content is zero at first.
public struct PinnedBuffer: ~Copyable, @unchecked Sendable {
  /// Where it lies for the host.
  package let base: UnsafeMutableRawPointer
  /// The size in bytes.
  public let byteCount: Int
  /// Which GPU's driver pinned it; those of other contexts may use it too.
  public let context: CUDAContext

  /// Where it lies for the GPU: the same, because addresses are unified.
  public var address: UInt64 { UInt64(UInt(bitPattern: base)) }

  /// Allocates `byteCount` bytes, one at least.
  public init(byteCount: Int, on context: CUDAContext) throws(CUDAError) {
    let driver = try context.current()
    var memory: UnsafeMutableRawPointer?
    // CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP.
    let result = driver.cuMemHostAlloc(&memory, max(byteCount, 1), 1 | 2)
    guard result == 0, let memory else {
      throw Self.failure(context.driver.error(result, "cuMemHostAlloc"), byteCount)
    }
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: max(byteCount, 1))
    base = memory
    self.byteCount = byteCount
    self.context = context
  }

  /// What is used up is this machine's memory, of which the GPU's figures say nothing.
  private static func failure(_ error: CUDAError, _ byteCount: Int) -> CUDAError {
    guard error.code == .outOfMemory else { return error }
    let mebibytes = byteCount >> 20
    return CUDAError(
      .outOfMemory, "\(error.message): \(mebibytes) MiB of this machine's memory cannot be pinned",
      remedy: "raise the limit of locked memory (ulimit -l) or free some memory")
  }

  deinit {
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuMemFreeHost(base)
  }
}

/// Memory that a ``CUDABackend`` allocated: a GPU's own, or this machine's that GPUs reach.
final class CUDAMemory: DeviceMemory, @unchecked Sendable {
  private enum Owner: ~Copyable {
    case device(DeviceBuffer)
    case pinned(PinnedBuffer)
    case substitute(HostBuffer)
    case caller
  }

  private let owner: Owner
  /// Where it lies for the GPU.
  let address: UInt64
  let byteCount: Int
  let hostAddress: UnsafeMutableRawPointer?

  /// The memory of a GPU.
  init(_ buffer: consuming DeviceBuffer) {
    (address, byteCount, hostAddress) = (buffer.address, buffer.byteCount, nil)
    owner = .device(buffer)
  }

  /// Memory that this machine and its GPUs read and write.
  init(_ buffer: consuming PinnedBuffer) {
    (address, byteCount, hostAddress) = (buffer.address, buffer.byteCount, buffer.base)
    owner = .pinned(buffer)
  }

  /// Memory that a caller keeps.
  init(borrowing address: UInt64, byteCount: Int) {
    (self.address, self.byteCount, hostAddress) = (address, byteCount, nil)
    owner = .caller
  }

  /// What takes the place of memory that could not be had: the host may write it where it could have
  /// written the other. No GPU ever sees its address.
  init(substituteOf byteCount: Int, isHostVisible: Bool) {
    let buffer = HostBuffer(byteCount: isHostVisible ? byteCount : 0)
    address = UInt64(UInt(bitPattern: buffer.base))
    self.byteCount = byteCount
    hostAddress = isHostVisible ? buffer.base : nil
    owner = .substitute(buffer)
  }
}

extension Arena {
  /// The memory of a GPU.
  package convenience init(_ buffer: consuming DeviceBuffer) { self.init(CUDAMemory(buffer)) }

  /// Whether a GPU can follow addresses of the arena.
  package var isDeviceVisible: Bool { memory is CUDAMemory }

  /// Where the arena's memory begins for a GPU.
  package var deviceAddress: UInt64 {
    guard let memory = memory as? CUDAMemory else {
      preconditionFailure("the elements are the host's: copy them to the GPU first")
    }
    return memory.address
  }
}

extension Tensor {
  /// Where the first element lies for a GPU, as a kernel's argument.
  package var deviceAddress: UInt64 { arena.deviceAddress + UInt64(byteOffset - arena.origin) }
}
