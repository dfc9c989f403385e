// How kernels are found and enqueued, and what becomes of failures.

extension CUDABackend {
  /// Lets the next kernel start only when all before it are done.
  func orderNext() { isNextOrdered = true }

  /// Enqueues a kernel with programmatic dependent launch, for which every kernel of this backend
  /// waits itself.
  func launch<each Argument: BitwiseCopyable>(
    _ source: String, _ kernel: String, options: [String] = [], grid: LaunchSize,
    block: LaunchSize, sharedBytes: Int = 0, cluster: LaunchSize? = nil,
    cooperative: Bool = false, programmatic: Bool = true, arguments: repeat each Argument
  ) {
    if isPreparing {
      prepared.insert(KernelKey(source: source, kernel: kernel, options: options))
      return
    }
    let isEarly = programmatic && startsEarly && !isNextOrdered
    if !isEarly { cachesInWriting.removeAll(keepingCapacity: true) }
    isNextOrdered = false
    attempt { () throws(CUDAError) in
      let function = try function(source, kernel, options: options)
      try function.launch(
        grid: grid, block: block, sharedBytes: sharedBytes, cluster: cluster,
        cooperative: cooperative, programmatic: isEarly, on: stream,
        arguments: repeat each arguments)
    }
  }

  /// The kernel of a source under options, compiled and loaded at its first use.
  func function(
    _ source: String, _ kernel: String, options: [String]
  ) throws(CUDAError) -> CUDAFunction {
    let key = KernelKey(source: source, kernel: kernel, options: options)
    if let known = kernels[key] { return known }
    let function = try context.module(source: source, options: options).function(kernel)
    try keep(function, key)
    return function
  }

  /// Lets a kernel be found under its key.
  func keep(_ function: CUDAFunction, _ key: KernelKey) throws(CUDAError) {
    let dynamic = context.device.sharedBytesPerBlock - function.staticSharedBytes
    try function.setDynamicSharedMemory(dynamic)
    try function.preferSharedMemory()
    kernels[key] = function
  }

  /// Runs `body` unless something failed before, and remembers what fails.
  @discardableResult
  func attempt<Result>(_ body: () throws(CUDAError) -> Result) -> Result? {
    if failure != nil { return nil }
    do throws(CUDAError) { return try body() } catch {
      failure = error
      return nil
    }
  }

  /// Remembers a failure, unless there was one before.
  func fail(_ code: CUDAProblem, _ message: String) {
    if failure == nil { failure = CUDAError(code, message) }
  }

  /// Whether rows of these tensors, `columns` elements each, can be read 16 bytes at a time.
  func rowOptions(_ columns: Int, _ tensors: Tensor?...) -> [String] {
    let isWide = columns % 8 == 0 && tensors.allSatisfy { ($0?.deviceAddress ?? 0) % 16 == 0 }
    return ["-DWIDE=\(isWide ? 1 : 0)"]
  }

  /// Threads that take a row in as few equal rounds of eight elements each as `most` allow.
  func rowThreads(_ width: Int, most: Int) -> Int {
    let groups = (width + 7) / 8
    let rounds = (groups + most - 1) / most
    return ((groups + rounds - 1) / rounds + 31) / 32 * 32
  }
}

/// What names a compiled kernel.
struct KernelKey: Hashable {
  let source: String
  let kernel: String
  let options: [String]
}
