import CMGLUKernels
import Synchronization

/// An NVIDIA GPU as a backend: operations are kernels on one stream. Those of inference start before
/// the one ahead of them is done (programmatic dependent launch) and read their weights meanwhile, but
/// for `decode`.
///
/// What fails is remembered and thrown by ``finish()``; until then nothing more is enqueued.
public final class CUDABackend: InferenceBackend, TrainingBackend {
  /// The GPU in use.
  public let context: CUDAContext
  /// Where everything is enqueued.
  public private(set) nonisolated(unsafe) var stream: CUDAStream
  public let host: CPUBackend
  // What is not part of a recording, though asked for during one.
  let setup: CUDAStream

  /// Whether kernels start before the ones they depend on are done; without, a benchmark sees
  /// calls that have nothing to do with each other.
  public nonisolated(unsafe) var startsEarly = true

  // Touched by the one thread that drives the backend.
  nonisolated(unsafe) var kernels: [KernelKey: CUDAFunction] = [:]
  nonisolated(unsafe) var failure: CUDAError?
  // Whether operations only say which kernels they need, and those that they have said.
  nonisolated(unsafe) var isPreparing = false
  nonisolated(unsafe) var prepared: Set<KernelKey> = []
  // Caches that kernels write which may still be running, and whether the next kernel starts only
  // when all before it are done.
  nonisolated(unsafe) var cachesInWriting: Set<UInt64> = []
  nonisolated(unsafe) var isNextOrdered = false
  // Recorded steps hold addresses of scratch: what was outgrown stays.
  nonisolated(unsafe) var scratches: [Scratch: [CUDAMemory]] = [:]
  // Made at the first product: inference needs no cuBLASLt.
  nonisolated(unsafe) var products: CUDAProducts?
  nonisolated(unsafe) var chosen: [String: String] = [:]
  // Made when something is first asked for aside.
  nonisolated(unsafe) var side: CUDAStream?
  // Made at the first measurement.
  nonisolated(unsafe) var stopwatch: (start: CUDAEvent, end: CUDAEvent)?

  /// Takes a GPU into use; `host` reads files for it.
  ///
  /// - Throws: ``BackendProblem/device`` where there is no driver or compiler, with the remedy.
  public init(_ device: CUDADevice, host: CPUBackend) throws(BackendError) {
    do throws(CUDAError) {
      let driver = try CUDADriver.shared()
      let caller = CallersContext(of: driver)
      defer { caller.restore() }
      context = try CUDAContext(device, of: driver)
      stream = try CUDAStream(on: context)
      setup = try CUDAStream(on: context)
      // A missing compiler is told now, in place of in the middle of the first token.
      _ = try NVRTC.shared()
    } catch { throw BackendError(error) }
    self.host = host
  }

  /// The GPU's generation: `sm_90a`.
  public var kernelSet: String { "\(CUDAArchitecture(context.device.capability))" }

  /// Enqueues on another stream from now on.
  func use(_ stream: CUDAStream) { self.stream = stream }

  public func fresh() throws(BackendError) -> CUDABackend {
    try CUDABackend(context.device, host: host)
  }

  public var summary: String {
    let device = context.device
    return "\(device.name) (cuda:\(device.ordinal)), compute capability \(device.capability), "
      + "\(device.multiprocessorCount) multiprocessors"
  }
}

extension Failure where Code == BackendProblem {
  /// A device's error as a backend's.
  package init(_ error: CUDAError) {
    self.init(error.code == .outOfMemory ? .memory : .device, error.message, remedy: error.remedy)
  }
}
