import CMGLUKernels
import Synchronization

/// An NVIDIA GPU as a backend: operations are kernels on one stream. Those of inference start before
/// the one ahead of them is done (programmatic dependent launch) and read their weights meanwhile, but
/// for `decode`.
///
/// What fails is remembered and thrown by ``finish()``; until then nothing more is enqueued.
public final class CUDABackend: TrainingBackend {
  /// The GPU in use.
  public let context: CUDAContext
  /// Where everything is enqueued.
  public let stream: CUDAStream
  public let host: CPUBackend
  // What is not part of a recording, though asked for during one.
  private let setup: CUDAStream

  /// Whether kernels start before the ones they depend on are done; without, a benchmark sees
  /// calls that have nothing to do with each other.
  package nonisolated(unsafe) var startsEarly = true

  // Touched by the one thread that drives the backend.
  private nonisolated(unsafe) var kernels: [KernelKey: CUDAFunction] = [:]
  private nonisolated(unsafe) var failure: CUDAError?
  // Caches that kernels write which may still be running, and whether the next kernel starts only
  // when all before it are done.
  nonisolated(unsafe) var cachesInWriting: Set<UInt64> = []
  private nonisolated(unsafe) var isNextOrdered = false
  // Recorded steps hold addresses of scratch: what was outgrown stays.
  private nonisolated(unsafe) var scratches: [Scratch: [Arena]] = [:]
  // Made at the first product: inference needs no cuBLASLt.
  nonisolated(unsafe) var products: CUDAProducts?
  nonisolated(unsafe) var chosen: [String: String] = [:]

  /// Takes a GPU into use; `host` reads files for it.
  ///
  /// - Throws: ``BackendProblem/device`` where there is no driver or compiler, with the remedy.
  public init(_ device: CUDADevice, host: CPUBackend) throws(BackendError) {
    do throws(CUDAError) {
      context = try CUDAContext(device)
      stream = try CUDAStream(on: context)
      setup = try CUDAStream(on: context)
      // A missing compiler is told now, in place of in the middle of the first token.
      _ = try NVRTC.shared()
    } catch { throw BackendError(error) }
    self.host = host
  }

  public var summary: String {
    let device = context.device
    return "\(device.name) (cuda:\(device.ordinal)), compute capability \(device.capability), "
      + "\(device.multiprocessorCount) multiprocessors"
  }

  public var warnings: [String] { [] }

  public var weightTypes: [WeightType] { [.float32, .float16, .bfloat16] }

  /// BF16 for float32, whose kernels are there to compare with and ten times as slow.
  public func weightType(for type: WeightType) -> WeightType {
    switch type {
    case .float32, .bfloat16: .bfloat16
    case .float16, .int8: .float16
    }
  }

  public func synchronize() { attempt { () throws(CUDAError) in try stream.synchronize() } }

  public func finish() throws(BackendError) {
    synchronize()
    if let failure { throw BackendError(failure) }
  }

  // Memory ---------------------------------------------------------------------------------------

  public var deviceMemory: (free: Int, total: Int)? {
    attempt { () throws(CUDAError) in try context.memory }
  }

  public func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result) {
    try lay(describe, isShared: false) { byteCount in
      self.attempt { () throws(CUDAError) in
        let buffer = try DeviceBuffer(byteCount: byteCount, on: self.context)
        try self.stream.fill(buffer.address, byteCount: byteCount, with: 0)
        return Arena(buffer)
      }
    }
  }

  public func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result) {
    try lay(describe, isShared: true) { byteCount in
      self.attempt { () throws(CUDAError) in
        Arena(try PinnedBuffer(byteCount: byteCount, on: self.context))
      }
    }
  }

  /// Measures, allocates, lays out. Where memory is lacking a substitute takes its place, which the
  /// GPU never sees: ``attempt(_:)`` enqueues nothing after a failure.
  private func lay<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result, isShared: Bool,
    in memory: (Int) -> Arena?
  ) throws(E) -> (arena: Arena, Result) {
    var measuring = ArenaLayout()
    _ = try describe(&measuring)
    let byteCount = measuring.byteCount
    let arena =
      memory(byteCount) ?? Arena(substituteOf: byteCount, isHostVisible: isShared)
    var layout = ArenaLayout(over: arena)
    return (arena, try describe(&layout))
  }

  public func toDevice(_ tensor: Tensor) -> Tensor {
    if tensor.arena.isDeviceVisible { return tensor }
    let (_, copy) = allocate { $0.tensor(tensor.shape, tensor.dataType) }
    attempt { () throws(CUDAError) in
      try stream.copy(from: UnsafeRawBufferPointer(tensor.bytes), to: copy.deviceAddress)
    }
    return copy
  }

  public func clear(_ tensor: Tensor) {
    attempt { () throws(CUDAError) in
      try stream.fill(tensor.deviceAddress, byteCount: tensor.byteCount, with: 0)
    }
  }

  public func copy(_ source: Tensor, into target: Tensor) {
    precondition(source.byteCount == target.byteCount, "copy between tensors of different sizes")
    guard source.arena.isDeviceVisible, target.arena.isDeviceVisible else {
      return copyThroughHost(source, into: target)
    }
    let words = source.byteCount / 4
    guard source.byteCount % 4 == 0, words > 0 else {
      attempt { () throws(CUDAError) in
        try stream.copy(
          from: source.deviceAddress, to: target.deviceAddress, byteCount: source.byteCount)
      }
      return
    }
    launch(
      "tokens", "copy_words", grid: LaunchSize(min(1024, (words + 255) / 256)), block: 256,
      arguments: source.deviceAddress, target.deviceAddress, UInt64(words))
    // Positions are read by kernels before they wait for their input.
    orderNext()
  }

  /// Copies from or to memory of the host that the GPU does not reach.
  private func copyThroughHost(_ source: Tensor, into target: Tensor) {
    attempt { () throws(CUDAError) in
      switch (source.arena.isDeviceVisible, target.arena.isDeviceVisible) {
      case (false, true):
        try stream.copy(
          from: UnsafeRawBufferPointer(source.bytes), to: target.deviceAddress)
      case (true, false): try stream.copy(from: source.deviceAddress, to: target.bytes)
      default: host.copy(source, into: target)
      }
    }
    orderNext()
  }

  /// Lets the next kernel start only when all before it are done.
  func orderNext() { isNextOrdered = true }

  /// What operations need memory for beside their tensors.
  enum Scratch {
    case stagedInput, partialAttention, counters, exchange
    case products, partialNorm, partialSums, attentionDelta
  }

  /// Memory of at least `count` bytes, zero at first: the same at every call until one needs more.
  func scratch(_ purpose: Scratch, ofBytes count: Int) -> UInt64 {
    if let last = scratches[purpose]?.last, last.byteCount >= count { return last.deviceAddress }
    // Zeroed once and now: on `stream` a recording would zero it, at each of its launches.
    let arena =
      attempt { () throws(CUDAError) in
        let buffer = try DeviceBuffer(byteCount: count, on: context)
        try setup.fill(buffer.address, byteCount: count, with: 0)
        try setup.synchronize()
        return Arena(buffer)
      } ?? Arena(substituteOf: count, isHostVisible: false)
    scratches[purpose, default: []].append(arena)
    return arena.deviceAddress
  }

  /// Reads all of `data` and adds its words to `sum`: the bound that memory sets.
  package func read(_ data: Tensor, sum: Tensor) {
    launch(
      "read", "read", grid: LaunchSize(4 * context.device.multiprocessorCount), block: 512,
      programmatic: false,
      arguments: data.deviceAddress, UInt64(data.byteCount / 16), sum.deviceAddress)
  }

  // Launches -------------------------------------------------------------------------------------

  public func capture(_ body: @escaping () -> Void) -> () -> Void {
    let graph = attempt { () throws(CUDAError) in
      // What a recording begins with follows all that was before, and what comes after it too.
      orderNext()
      let graph = try stream.capture { () throws(CUDAError) in
        body()
        if let failure { throw failure }
      }
      orderNext()
      try graph.upload(on: stream)
      return graph
    }
    return { [unowned self] in
      attempt { () throws(CUDAError) in try graph?.launch(on: stream) }
    }
  }

  /// Enqueues a kernel with programmatic dependent launch, for which every kernel of this backend
  /// waits itself.
  func launch<each Argument: BitwiseCopyable>(
    _ source: String, _ kernel: String, options: [String] = [], grid: LaunchSize,
    block: LaunchSize, sharedBytes: Int = 0, cluster: LaunchSize? = nil,
    cooperative: Bool = false, programmatic: Bool = true, arguments: repeat each Argument
  ) {
    let isEarly = programmatic && startsEarly && !isNextOrdered
    if !isEarly { cachesInWriting.removeAll(keepingCapacity: true) }
    isNextOrdered = false
    attempt { () throws(CUDAError) in
      try function(source, kernel, options: options).launch(
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
    let dynamic = context.device.sharedBytesPerBlock - function.staticSharedBytes
    try function.setDynamicSharedMemory(dynamic)
    try function.preferSharedMemory()
    kernels[key] = function
    return function
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
}

private struct KernelKey: Hashable {
  let source: String
  let kernel: String
  let options: [String]
}

extension Failure where Code == BackendProblem {
  /// A device's error as a backend's.
  package init(_ error: CUDAError) {
    self.init(error.code == .outOfMemory ? .memory : .device, error.message, remedy: error.remedy)
  }
}

extension Arena {
  fileprivate var deviceAddress: UInt64 { UInt64(UInt(bitPattern: base)) }
}
