import CMGLUKernels
import Foundation
import MGLUCompute
import Synchronization

/// A driver whose GPUs are this process's memory and whose streams do at once what they are given: ranks that
/// are threads reach each other's memory through it.
enum HostMemoryDriver {
  typealias Pointer = UnsafeMutableRawPointer

  /// Handles that are open.
  static let open = Mutex(0)

  private static func pointer(_ address: UInt64) -> Pointer? {
    Pointer(bitPattern: UInt(address))
  }

  private static func word(_ address: UInt64) -> UnsafeMutablePointer<Atomic<UInt32>>? {
    pointer(address)?.assumingMemoryBound(to: Atomic<UInt32>.self)
  }

  private static let allocate: @convention(c) (UnsafeMutablePointer<UInt64>?, Int) -> Int32 = {
    let memory = calloc($1, 1)
    $0?.pointee = UInt64(UInt(bitPattern: memory))
    return memory == nil ? 2 : 0
  }
  private static let release: @convention(c) (UInt64) -> Int32 = {
    free(pointer($0))
    return 0
  }
  private static let handle:
    @convention(c) (UnsafeMutablePointer<cmglu_cuda_ipc_handle>?, UInt64) -> Int32 = {
      handle, address in
      handle.map { UnsafeMutableRawPointer($0).storeBytes(of: address, as: UInt64.self) }
      return 0
    }
  private static let openHandle:
    @convention(c) (UnsafeMutablePointer<UInt64>?, cmglu_cuda_ipc_handle, UInt32) -> Int32 = {
      address, handle, _ in
      address?.pointee = withUnsafeBytes(of: handle) { $0.load(as: UInt64.self) }
      open.withLock { $0 += 1 }
      return 0
    }
  private static let closeHandle: @convention(c) (UInt64) -> Int32 = { _ in
    open.withLock { $0 -= 1 }
    return 0
  }
  private static let write: @convention(c) (OpaquePointer?, UInt64, UInt32, UInt32) -> Int32 = {
    _, address, value, _ in
    word(address)?.pointee.store(value, ordering: .sequentiallyConsistent)
    return 0
  }
  private static let wait: @convention(c) (OpaquePointer?, UInt64, UInt32, UInt32) -> Int32 = {
    _, address, value, _ in
    guard let word = word(address) else { return 1 }
    while Int32(bitPattern: word.pointee.load(ordering: .sequentiallyConsistent) &- value) < 0 {
      usleep(10)
    }
    return 0
  }
  private static let copy: @convention(c) (UInt64, UInt64, Int, OpaquePointer?) -> Int32 = {
    to, from, count, _ in
    guard let to = pointer(to), let from = pointer(from) else { return 1 }
    memcpy(to, from, count)
    return 0
  }
  private static let fill: @convention(c) (UInt64, UInt8, Int, OpaquePointer?) -> Int32 = {
    address, value, count, _ in
    guard let address = pointer(address) else { return 1 }
    memset(address, Int32(value), count)
    return 0
  }
  private static let done: @convention(c) (OpaquePointer?) -> Int32 = { _ in 0 }

  static let lookup: @convention(c) (Pointer?, UnsafePointer<CChar>?) -> Pointer? = {
    library, symbol in
    switch symbol.map({ String(cString: $0) }) {
    case "cuMemAlloc_v2": unsafeBitCast(allocate, to: Pointer.self)
    case "cuMemFree_v2": unsafeBitCast(release, to: Pointer.self)
    case "cuIpcGetMemHandle": unsafeBitCast(handle, to: Pointer.self)
    case "cuIpcOpenMemHandle_v2": unsafeBitCast(openHandle, to: Pointer.self)
    case "cuIpcCloseMemHandle": unsafeBitCast(closeHandle, to: Pointer.self)
    case "cuStreamWriteValue32_v2": unsafeBitCast(write, to: Pointer.self)
    case "cuStreamWaitValue32_v2": unsafeBitCast(wait, to: Pointer.self)
    case "cuMemcpyDtoDAsync_v2": unsafeBitCast(copy, to: Pointer.self)
    case "cuMemsetD8Async": unsafeBitCast(fill, to: Pointer.self)
    case "cuStreamSynchronize": unsafeBitCast(done, to: Pointer.self)
    default: FakeDriver.lookup(library, symbol)
    }
  }

  /// A context on a GPU of its own.
  static func context() throws -> CUDAContext {
    let driver = try CUDADriver(path: "host", lookup: lookup)
    return try CUDAContext(CUDADevice(0, driver), of: driver)
  }
}
