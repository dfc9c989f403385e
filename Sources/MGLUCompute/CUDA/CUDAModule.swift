import CMGLUKernels

/// Compiled kernels on a GPU.
public final class CUDAModule: Sendable {
  /// The GPU.
  public let context: CUDAContext
  private let bits: UInt
  private let name: String

  /// Loads a cubin, or PTX that the driver compiles. `name` is for errors.
  package init(image: [UInt8], name: String, on context: CUDAContext) throws(CUDAError) {
    let functions = try context.current()
    var module: OpaquePointer?
    // PTX is text that ends with a zero; one more byte does a cubin no harm.
    let result = (image + [0]).withUnsafeBytes {
      functions.cuModuleLoadData(&module, $0.baseAddress)
    }
    guard result == 0 else { throw context.driver.error(result, "cuModuleLoadData of \(name)") }
    self.context = context
    self.name = name
    bits = UInt(bitPattern: module)
  }

  deinit {
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuModuleUnload(OpaquePointer(bitPattern: bits))
  }

  /// The kernel of that name, which is `extern "C"` in the source.
  public func function(_ kernel: String) throws(CUDAError) -> CUDAFunction {
    var function: OpaquePointer?
    let result = try context.current().cuModuleGetFunction(
      &function, OpaquePointer(bitPattern: bits), kernel)
    guard result == 0, let function else {
      throw context.driver.error(result, "cuModuleGetFunction of \(kernel) in \(name)")
    }
    return try CUDAFunction(function, name: kernel, module: self)
  }
}

/// A kernel: what a module holds and a launch runs.
public struct CUDAFunction: Sendable {
  /// The kernel's name.
  public let name: String
  /// Registers of a thread.
  public let registers: Int
  /// Bytes of local memory of a thread: spilled registers and arrays, 0 in a kernel as it should be.
  public let localBytes: Int
  /// Bytes of shared memory that the source itself lays out.
  public let staticSharedBytes: Int
  /// The most threads of a block.
  public let maxThreadsPerBlock: Int
  /// Sizes of the parameters in bytes, or `nil` where the driver is too old to tell.
  package let parameterSizes: [Int]?
  let module: CUDAModule
  private let bits: UInt
  var handle: OpaquePointer? { OpaquePointer(bitPattern: bits) }

  fileprivate init(
    _ function: OpaquePointer, name: String, module: CUDAModule
  ) throws(CUDAError) {
    let driver = module.context.driver
    // CUfunction_attribute.
    func attribute(_ number: Int32) throws(CUDAError) -> Int {
      var value: Int32 = 0
      try driver.check(
        driver.functions.cuFuncGetAttribute(&value, number, function), "cuFuncGetAttribute")
      return Int(value)
    }
    maxThreadsPerBlock = try attribute(0)
    staticSharedBytes = try attribute(1)
    localBytes = try attribute(3)
    registers = try attribute(4)
    parameterSizes = driver.functions.cuFuncGetParamInfo.map { info in
      var sizes: [Int] = []
      var (offset, size) = (0, 0)
      // Beyond the last parameter the driver answers with an error.
      while info(function, sizes.count, &offset, &size) == 0 { sizes.append(size) }
      return sizes
    }
    self.name = name
    self.module = module
    bits = UInt(bitPattern: function)
  }

  /// Allows launches with up to `byteCount` bytes of dynamic shared memory.
  ///
  /// - Throws: where the GPU's blocks have less (``CUDADevice/sharedBytesPerBlock``).
  public func setDynamicSharedMemory(_ byteCount: Int) throws(CUDAError) {
    let maxDynamicSharedSize: Int32 = 8
    let result = try module.context.current().cuFuncSetAttribute(
      handle, maxDynamicSharedSize, Int32(clamping: byteCount))
    guard result == 0 else {
      let limit = module.context.device.sharedBytesPerBlock
      throw module.context.driver.error(
        result, "cuFuncSetAttribute of \(name): \(byteCount) bytes of shared memory, of \(limit)")
    }
  }

  /// Asks for as much shared memory of a multiprocessor as there is, whatever the kernel uses itself.
  ///
  /// A multiprocessor must be empty before it divides its memory anew: kernels that are to overlap
  /// need the same division.
  public func preferSharedMemory() throws(CUDAError) {
    let preferredCarveout: Int32 = 9
    try module.context.driver.check(
      module.context.current().cuFuncSetAttribute(handle, preferredCarveout, 100),
      "cuFuncSetAttribute")
  }

  /// How many blocks run on a multiprocessor at once.
  public func blocksPerMultiprocessor(
    threads: Int, sharedBytes: Int = 0
  ) throws(CUDAError) -> Int {
    var blocks: Int32 = 0
    try module.context.driver.check(
      module.context.current().cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &blocks, handle, Int32(threads), sharedBytes),
      "cuOccupancyMaxActiveBlocksPerMultiprocessor")
    return Int(blocks)
  }
}
