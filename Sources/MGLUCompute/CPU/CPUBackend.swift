import CMGLUKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The CPU: matrix products through a BLAS, everything else through the kernels of the best
/// instruction set, all split over one team of threads.
///
/// A result depends on the thread count only through the order of a few reductions; with equal
/// thread counts on one machine it is the same bit for bit.
///
/// Several threads may call a backend at once: their operations take turns on its team of threads. A model
/// of their own each (``fresh()``) is faster.
public final class CPUBackend: InferenceBackend, TrainingBackend {
  package let pool: ThreadPool
  /// Counts the memory of its tensors.
  package let meter = MemoryMeter()
  // A table of C functions without state, which Swift cannot see is safe to share.
  nonisolated(unsafe) let kernels: cmglu_kernels
  nonisolated(unsafe) let fusedLinearKernels: cmglu_fused_linear
  let scratch = ScratchMemory()
  let hostSampler = Mutex(HostSampler())
  // For tests, which drive a backend by one thread.
  nonisolated(unsafe) var lateWork: [LateWork] = []
  /// Whether what is asked for aside is only done once it is waited for, as a slow queue of a GPU might.
  package nonisolated(unsafe) var isLate = false
  let blas: BLAS?
  private let missingBLAS: LibraryError?
  private let usesBLAS: Bool

  /// Creates a backend with `threads` threads, by default as many as the process may run on.
  ///
  /// `MGLU_BLAS` chooses the BLAS (a library's path, or `none`), `MGLU_ISA` the instruction set
  /// (`amx`, `avx512bf16`, `avx512vnni`, `avx512`, `avx2`, `baseline`).
  public convenience init(threads: Int? = nil) throws(BackendError) {
    try self.init(threads: threads, instructionSet: Environment.value("MGLU_ISA"))
  }

  /// Creates a backend of one instruction set (`nil` for the best), with or without a BLAS: for
  /// tests of all of them in one process.
  package init(
    threads: Int?, instructionSet: String?, usesBLAS: Bool = true
  ) throws(BackendError) {
    let count = threads ?? Self.processorCount
    guard (1...1024).contains(count) else {
      throw BackendError(.threadCount, "\(count) threads: expected 1 to 1024")
    }
    let name = instructionSet ?? Self.instructionSets[0]
    guard let kernels = cmglu_kernels_named(name), let fusedLinear = cmglu_fused_linear_named(name)
    else {
      throw BackendError(
        .instructionSet, "MGLU_ISA=\(name) is not available on this machine",
        remedy: "use one of \(Self.instructionSets.joined(separator: ", ")), or unset it")
    }
    self.kernels = kernels.pointee
    fusedLinearKernels = fusedLinear.pointee
    pool = try ThreadPool(threadCount: count)
    self.usesBLAS = usesBLAS
    do {
      blas = usesBLAS ? try BLAS.find() : nil
      missingBLAS = nil
    } catch {
      blas = nil
      missingBLAS = error
    }
  }

  /// The names of the instruction sets that this machine and build have, best first.
  package static let instructionSets: [String] = {
    var names: [String] = []
    while let name = cmglu_instruction_set(Int32(names.count)) {
      names.append(String(cString: name))
    }
    return names.filter { cmglu_fused_linear_named($0) != nil }
  }()

  public var host: CPUBackend { self }

  public var kernelSet: String { String(cString: fusedLinearKernels.name) }

  public func fresh() throws(BackendError) -> CPUBackend { try variant(kernelSet) }

  /// One backend for each instruction set that this machine and build have, best first.
  public func variants() throws(BackendError) -> [CPUBackend] {
    var variants: [CPUBackend] = []
    for name in Self.instructionSets { variants.append(try variant(name)) }
    return variants
  }

  private func variant(_ instructionSet: String) throws(BackendError) -> CPUBackend {
    try CPUBackend(threads: threadCount, instructionSet: instructionSet, usesBLAS: usesBLAS)
  }

  /// The processors that this process may run on, and whose time a container lets it use: more threads
  /// than that would be stopped in the middle of what others wait for.
  public static var processorCount: Int { min(Int(cmglu_processor_count()), quota) }

  private static let quota = ControlGroup().processorCount ?? .max

  /// The threads that share the work.
  public var threadCount: Int { pool.threadCount }

  public var summary: String {
    let library = blas?.name ?? "built-in matrix product"
    return "CPU, \(kernelSet), \(threadCount) threads, \(library)"
  }

  public var warnings: [String] {
    var warnings: [String] = []
    if let missingBLAS {
      warnings.append(
        "\(missingBLAS.message): matrix products run on the slower built-in kernel; install OpenBLAS "
          + "(apt-get install libopenblas0, brew install openblas) or set MGLU_BLAS to a library")
    }
    // They wait for each other between parts of a step, and every wait may take a turn of the system.
    if threadCount > 8 * Self.processorCount {
      warnings.append(
        "\(threadCount) threads on \(Self.processorCount) processors: far slower than as many as these"
      )
    }
    return warnings
  }
}
