/// A stretch of a stream's work, recorded once and launched as a whole: a launch costs the host a
/// few microseconds, however many kernels it holds, and the GPU goes from one to the next at once.
///
/// Addresses and arguments are those of the recording. Kernels launched as programmatic keep their
/// early starts.
public final class CUDAGraph: Sendable {
  private let context: CUDAContext
  private let bits: UInt
  private var handle: OpaquePointer? { OpaquePointer(bitPattern: bits) }

  fileprivate init(_ graph: OpaquePointer?, on context: CUDAContext) throws(CUDAError) {
    var exec: OpaquePointer?
    try context.driver.check(
      context.current().cuGraphInstantiateWithFlags(&exec, graph, 0),
      "cuGraphInstantiateWithFlags")
    self.context = context
    bits = UInt(bitPattern: exec)
  }

  deinit {
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuGraphExecDestroy(handle)
  }

  /// Brings the graph to the GPU, so that its first launch costs no more than the others.
  public func upload(on stream: CUDAStream) throws(CUDAError) {
    try context.driver.check(
      context.current().cuGraphUpload(handle, stream.handle), "cuGraphUpload")
  }

  /// Enqueues all of the recorded work.
  public func launch(on stream: CUDAStream) throws(CUDAError) {
    try context.driver.check(
      context.current().cuGraphLaunch(handle, stream.handle), "cuGraphLaunch")
  }
}

extension CUDAStream {
  /// Records what `body` enqueues on this stream, and on streams that wait for its events, in place
  /// of running it.
  ///
  /// `body` must not wait for the GPU. Other threads may allocate and compute meanwhile; `body` may
  /// allocate too, but must not change threads.
  public func capture(_ body: () throws(CUDAError) -> Void) throws(CUDAError) -> CUDAGraph {
    let functions = try context.current()
    let relaxed: Int32 = 2
    try context.driver.check(
      functions.cuStreamBeginCapture(handle, relaxed), "cuStreamBeginCapture")
    var failure: CUDAError?
    do throws(CUDAError) { try body() } catch { failure = error }
    // A capture is ended whatever happened, else the stream could not be used again.
    var graph: OpaquePointer?
    let result = functions.cuStreamEndCapture(handle, &graph)
    defer { if graph != nil { _ = functions.cuGraphDestroy(graph) } }
    if let failure { throw failure }
    try context.driver.check(result, "cuStreamEndCapture")
    return try CUDAGraph(graph, on: context)
  }
}
