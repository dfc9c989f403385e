import CMGLUKernels
import MGLUCompute
import Synchronization

/// A driver made of functions of ours: what errors say and what launches pass, without a GPU.
///
/// It has one GPU of capability 9.0 and one kernel with parameters of 8, 4, 24, 4 and 8 bytes.
enum FakeDriver {
  typealias Pointer = UnsafeMutableRawPointer

  /// What the last launch passed.
  struct Launch: Sendable {
    var grid: [UInt32] = []
    var block: [UInt32] = []
    var sharedBytes: UInt32 = 0
    /// Each attribute's number and first words.
    var attributes: [[UInt32]] = []
    /// Each argument's bytes.
    var arguments: [[UInt8]] = []
  }
  static let lastLaunch = Mutex(Launch())
  static let parameterSizes = [8, 4, 24, 4, 8]
  /// Where every allocation lies.
  static let address: UInt64 = 0x7f00_0000_0000
  /// Allocations that were freed.
  static let freed = Mutex(0)

  private typealias Text = UnsafeMutablePointer<UnsafePointer<CChar>?>
  private typealias Handle = UnsafeMutablePointer<OpaquePointer?>

  /// Text that lives as long as the process.
  private static func staticText(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }

  private static let errorName: @convention(c) (Int32, Text?) -> Int32 = { code, name in
    switch code {
    case 2: name?.pointee = staticText("CUDA_ERROR_OUT_OF_MEMORY")
    case 700: name?.pointee = staticText("CUDA_ERROR_ILLEGAL_ADDRESS")
    case 222: name?.pointee = staticText("CUDA_ERROR_UNSUPPORTED_PTX_VERSION")
    default: return 1
    }
    return 0
  }
  private static let errorText: @convention(c) (Int32, Text?) -> Int32 = { code, text in
    guard code == 2 || code == 700 else { return 1 }
    text?.pointee = staticText(code == 2 ? "out of memory" : "an illegal memory access")
    return 0
  }
  private static let version: @convention(c) (UnsafeMutablePointer<Int32>?) -> Int32 = {
    $0?.pointee = 13_010
    return 0
  }
  private static let memory:
    @convention(c) (UnsafeMutablePointer<Int>?, UnsafeMutablePointer<Int>?) -> Int32 = {
      $0?.pointee = 3 << 29
      $1?.pointee = 80 << 30
      return 0
    }
  private static let attribute: @convention(c) (UnsafeMutablePointer<Int32>?, Int32) -> Int32 = {
    // Capability 9.0, unified addresses, and something of everything else.
    $0?.pointee = $1 == 75 ? 9 : $1 == 76 ? 0 : 1
    return 0
  }
  private static let create: @convention(c) (Handle?) -> Int32 = {
    $0?.pointee = OpaquePointer(bitPattern: 0x10)
    return 0
  }
  private static let allocate: @convention(c) (UnsafeMutablePointer<UInt64>?, Int) -> Int32 = {
    guard $1 < 1 << 40 else { return 2 }
    $0?.pointee = address
    return 0
  }
  private static let free: @convention(c) (UInt64) -> Int32 = {
    guard $0 == address else { return 1 }
    freed.withLock { $0 += 1 }
    return 0
  }
  private static let parameter:
    @convention(c) (
      OpaquePointer?, Int, UnsafeMutablePointer<Int>?, UnsafeMutablePointer<Int>?
    ) -> Int32 = { _, index, _, size in
      guard index < parameterSizes.count else { return 1 }
      size?.pointee = parameterSizes[index]
      return 0
    }
  private static let launch:
    @convention(c) (
      UnsafePointer<cmglu_cuda_launch>?, OpaquePointer?,
      UnsafePointer<UnsafePointer<UInt8>?>?, Pointer?
    ) -> Int32 = { launch, _, arguments, extra in
      guard let launch = launch?.pointee, let arguments, extra == nil else { return 1 }
      if launch.block_x > 1024 { return 4242 }
      lastLaunch.withLock { last in
        last = Launch(
          grid: [launch.grid_x, launch.grid_y, launch.grid_z],
          block: [launch.block_x, launch.block_y, launch.block_z],
          sharedBytes: launch.shared_bytes,
          attributes: (0..<Int(launch.attribute_count)).compactMap { index in
            launch.attributes.map {
              let words = $0[index].value.words
              return [$0[index].id, words.0, words.1, words.2]
            }
          },
          arguments: parameterSizes.enumerated().map { index, size in
            Array(UnsafeBufferPointer(start: arguments[index], count: size))
          })
      }
      return 0
    }
  private static let done: @convention(c) () -> Int32 = { 0 }
  private static let unknown: @convention(c) () -> Int32 = { 999 }

  static let lookup: @convention(c) (Pointer?, UnsafePointer<CChar>?) -> Pointer? = { _, symbol in
    switch symbol.map({ String(cString: $0) }) {
    case "cuGetErrorName": unsafeBitCast(errorName, to: Pointer.self)
    case "cuGetErrorString": unsafeBitCast(errorText, to: Pointer.self)
    case "cuDriverGetVersion": unsafeBitCast(version, to: Pointer.self)
    case "cuMemGetInfo_v2": unsafeBitCast(memory, to: Pointer.self)
    case "cuDeviceGetAttribute", "cuFuncGetAttribute":
      unsafeBitCast(attribute, to: Pointer.self)
    case "cuDevicePrimaryCtxRetain", "cuStreamCreate", "cuModuleLoadData", "cuModuleGetFunction":
      unsafeBitCast(create, to: Pointer.self)
    case "cuMemAlloc_v2": unsafeBitCast(allocate, to: Pointer.self)
    case "cuMemFree_v2": unsafeBitCast(free, to: Pointer.self)
    case "cuFuncGetParamInfo": unsafeBitCast(parameter, to: Pointer.self)
    case "cuLaunchKernelEx": unsafeBitCast(launch, to: Pointer.self)
    case "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuCtxSetCurrent",
      "cuCtxGetCurrent", "cuDevicePrimaryCtxRelease_v2", "cuStreamDestroy_v2", "cuStreamQuery",
      "cuModuleUnload":
      unsafeBitCast(done, to: Pointer.self)
    default: unsafeBitCast(unknown, to: Pointer.self)
    }
  }

  /// A context on the one GPU.
  static func context() throws -> CUDAContext {
    let driver = try CUDADriver(path: "fake", lookup: lookup)
    return try CUDAContext(CUDADevice(0, driver), of: driver)
  }
}
