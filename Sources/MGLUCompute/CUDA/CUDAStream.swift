/// Work of a GPU in order: what is enqueued runs after all that was enqueued before.
///
/// A stream does not wait for the legacy default stream. One thread at a time may enqueue.
public final class CUDAStream: Sendable {
  /// The GPU that it runs on.
  public let context: CUDAContext
  private let bits: UInt
  private let isBorrowed: Bool
  var handle: OpaquePointer? { OpaquePointer(bitPattern: bits) }

  /// A stream that another owns, who keeps it while this is used; 0 is the default stream.
  package init(borrowing handle: UInt, on context: CUDAContext) {
    (self.context, bits, isBorrowed) = (context, handle, true)
  }

  /// Creates an empty stream, whose work starts before that of others where it `isFirst`.
  public init(on context: CUDAContext, isFirst: Bool = false) throws(CUDAError) {
    var stream: OpaquePointer?
    let (nonBlocking, highest): (UInt32, Int32) = (1, -5)
    if isFirst {
      // Priorities beyond those of a GPU are its highest.
      try context.driver.check(
        context.current().cuStreamCreateWithPriority(&stream, nonBlocking, highest),
        "cuStreamCreateWithPriority")
    } else {
      try context.driver.check(
        context.current().cuStreamCreate(&stream, nonBlocking), "cuStreamCreate")
    }
    self.context = context
    bits = UInt(bitPattern: stream)
    isBorrowed = false
  }

  /// Whether it is the stream of that handle.
  func isBorrowed(_ handle: UInt) -> Bool { isBorrowed && bits == handle }

  deinit {
    guard !isBorrowed, (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuStreamDestroy(handle)
  }

  /// Waits until all that was enqueued is done, and throws what went wrong in it.
  public func synchronize() throws(CUDAError) {
    try context.driver.check(
      context.current().cuStreamSynchronize(handle), "cuStreamSynchronize")
  }

  /// Whether all that was enqueued is done; throws what went wrong in it.
  public var isDone: Bool {
    get throws(CUDAError) {
      let (result, notReady) = (try context.current().cuStreamQuery(handle), Int32(600))
      if result == notReady { return false }
      try context.driver.check(result, "cuStreamQuery")
      return true
    }
  }

  /// Lets what is enqueued from now on wait for an event, as it was last recorded.
  func wait(for event: CUDAEvent) throws(CUDAError) {
    try context.driver.check(
      context.current().cuStreamWaitEvent(handle, event.handle, 0), "cuStreamWaitEvent")
  }

  /// Writes a word of 32 bits that this GPU reaches, another's too, after all that was enqueued.
  func write(_ value: UInt32, to address: UInt64) throws(CUDAError) {
    try context.driver.check(
      context.current().cuStreamWriteValue32(handle, address, value, 0), "cuStreamWriteValue32")
  }

  /// Lets what is enqueued from now on wait until a word has reached `value`, counted on from 0 again
  /// behind the largest.
  func wait(until address: UInt64, reaches value: UInt32) throws(CUDAError) {
    let greaterOrEqual: UInt32 = 0
    try context.driver.check(
      context.current().cuStreamWaitValue32(handle, address, value, greaterOrEqual),
      "cuStreamWaitValue32")
  }

  /// Copies host memory to the GPU. Memory that is not pinned may be changed when this returns;
  /// pinned memory only when the copy is done.
  package func copy(
    from source: UnsafeRawBufferPointer, to address: UInt64
  ) throws(CUDAError) {
    guard source.count > 0 else { return }
    try context.driver.check(
      context.current().cuMemcpyHtoDAsync(address, source.baseAddress, source.count, handle),
      "cuMemcpyHtoDAsync")
  }

  /// Copies the GPU's memory to the host, which may read it after ``synchronize()``.
  package func copy(
    from address: UInt64, to target: UnsafeMutableRawBufferPointer
  ) throws(CUDAError) {
    guard target.count > 0 else { return }
    try context.driver.check(
      context.current().cuMemcpyDtoHAsync(target.baseAddress, address, target.count, handle),
      "cuMemcpyDtoHAsync")
  }

  /// Copies within the GPU's memory; the ranges must not overlap.
  package func copy(from source: UInt64, to target: UInt64, byteCount: Int) throws(CUDAError) {
    guard byteCount > 0 else { return }
    try context.driver.check(
      context.current().cuMemcpyDtoDAsync(target, source, byteCount, handle),
      "cuMemcpyDtoDAsync")
  }

  /// Sets every byte.
  package func fill(_ address: UInt64, byteCount: Int, with value: UInt8) throws(CUDAError) {
    guard byteCount > 0 else { return }
    try context.driver.check(
      context.current().cuMemsetD8Async(address, value, byteCount, handle), "cuMemsetD8Async")
  }

  /// Sets every word of 32 bits, at an address aligned to it.
  package func fill(_ address: UInt64, wordCount: Int, with value: UInt32) throws(CUDAError) {
    guard wordCount > 0 else { return }
    try context.driver.check(
      context.current().cuMemsetD32Async(address, value, wordCount, handle), "cuMemsetD32Async")
  }
}

/// A point in a stream's work, and when it was reached.
public final class CUDAEvent: Sendable {
  private let context: CUDAContext
  private let bits: UInt
  var handle: OpaquePointer? { OpaquePointer(bitPattern: bits) }

  /// Creates an event, which knows when it was reached unless it is not `isTimed`.
  public init(on context: CUDAContext, isTimed: Bool = true) throws(CUDAError) {
    var event: OpaquePointer?
    let disableTiming: UInt32 = 2
    try context.driver.check(
      context.current().cuEventCreate(&event, isTimed ? 0 : disableTiming), "cuEventCreate")
    self.context = context
    bits = UInt(bitPattern: event)
  }

  deinit {
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuEventDestroy(handle)
  }

  /// Marks the end of what `stream` has been given so far.
  public func record(on stream: CUDAStream) throws(CUDAError) {
    try context.driver.check(
      context.current().cuEventRecord(handle, stream.handle), "cuEventRecord")
  }

  /// Waits until the event is reached.
  public func synchronize() throws(CUDAError) {
    try context.driver.check(
      context.current().cuEventSynchronize(handle), "cuEventSynchronize")
  }

  /// Milliseconds from `start` to here, in steps of about half a microsecond. Both are reached.
  public func milliseconds(since start: CUDAEvent) throws(CUDAError) -> Double {
    var elapsed: Float = 0
    try context.driver.check(
      context.current().cuEventElapsedTime(&elapsed, start.handle, handle), "cuEventElapsedTime")
    return Double(elapsed)
  }
}
