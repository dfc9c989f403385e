import CMGLUKernels

/// A GPU in use: its primary context, which other libraries of the process share.
///
/// Every operation makes the context current on the calling thread first, which costs next to
/// nothing where it is already; so work may move between threads as Swift's tasks do. What was
/// made from a context keeps it alive.
public final class CUDAContext: Sendable {
  /// The GPU.
  public let device: CUDADevice
  let driver: CUDADriver
  private let handle: UInt

  /// Takes the GPU into use.
  ///
  /// - Throws: ``CUDAProblem/unsupportedDevice`` for one before compute capability 8.0.
  public convenience init(_ device: CUDADevice) throws(CUDAError) {
    try self.init(device, of: CUDADriver.shared())
  }

  package init(_ device: CUDADevice, of driver: CUDADriver) throws(CUDAError) {
    guard device.capability >= .oldest, device.hasUnifiedAddressing else {
      throw CUDAError(
        .unsupportedDevice,
        "\(device.name) has compute capability \(device.capability): "
          + "\(CUDACapability.oldest) or newer is needed",
        remedy: "compute on the CPU, or on a GPU of the Ampere generation or a later one")
    }
    self.driver = driver
    self.device = device
    var context: OpaquePointer?
    try driver.check(
      driver.functions.cuDevicePrimaryCtxRetain(&context, device.handle),
      "cuDevicePrimaryCtxRetain")
    handle = UInt(bitPattern: context)
    try makeCurrent()
  }

  deinit { _ = driver.functions.cuDevicePrimaryCtxRelease(device.handle) }

  /// The table of the driver's functions, with this context current on the calling thread.
  @inline(__always)
  func current() throws(CUDAError) -> cmglu_cuda_driver {
    try makeCurrent()
    return driver.functions
  }

  /// Makes the context current on the calling thread, for libraries that expect it to be.
  public func makeCurrent() throws(CUDAError) {
    try driver.check(
      driver.functions.cuCtxSetCurrent(OpaquePointer(bitPattern: handle)), "cuCtxSetCurrent")
  }

  /// Bytes of the GPU's memory: those free now, and all.
  public var memory: (free: Int, total: Int) {
    get throws(CUDAError) {
      try makeCurrent()
      var (free, total) = (0, 0)
      try driver.check(driver.functions.cuMemGetInfo(&free, &total), "cuMemGetInfo")
      return (free, total)
    }
  }
}

/// The context that a caller has on a thread. Libraries of the process know their device by it, such as
/// the runtime that PyTorch uses: whoever takes another GPU into use, or enqueues for one, puts it back.
struct CallersContext {
  private let driver: CUDADriver
  private let handle: OpaquePointer?

  init(of driver: CUDADriver) {
    var current: OpaquePointer?
    _ = driver.functions.cuCtxGetCurrent(&current)
    (self.driver, handle) = (driver, current)
  }

  /// Makes it current again; where there was none, the one that is may stay.
  func restore() {
    if let handle { _ = driver.functions.cuCtxSetCurrent(handle) }
  }
}
