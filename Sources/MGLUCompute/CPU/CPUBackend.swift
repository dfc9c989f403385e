import CMGLUKernels

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
public final class CPUBackend: TrainingBackend {
  let pool: ThreadPool
  // A table of C functions without state, which Swift cannot see is safe to share.
  nonisolated(unsafe) let kernels: cmglu_kernels
  nonisolated(unsafe) let fusedLinearKernels: cmglu_fused_linear
  // Grown by the one thread that drives the backend.
  nonisolated(unsafe) var scratch = HostBuffer(byteCount: 0)
  nonisolated(unsafe) var chooser = HostSampler()
  let blas: BLAS?
  private let missingBLAS: LibraryError?

  /// Creates a backend with `threads` threads, by default as many as the process may run on.
  ///
  /// `MGLU_BLAS` chooses the BLAS (a library's path, or `none`), `MGLU_ISA` the instruction set
  /// (`avx512bf16`, `avx512vnni`, `avx512`, `avx2`, `baseline`).
  public convenience init(threads: Int? = nil) throws(BackendError) {
    try self.init(threads: threads, instructionSet: Environment.value("MGLU_ISA"))
  }

  /// Creates a backend of one instruction set (`nil` for the best), with or without a BLAS: for
  /// tests of all of them in one process.
  package init(
    threads: Int?, instructionSet: String?, usesBLAS: Bool = true
  ) throws(BackendError) {
    let count = threads ?? Int(cmglu_processor_count())
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

  /// The threads that share the work.
  public var threadCount: Int { pool.threadCount }

  public var summary: String {
    let library = blas?.name ?? "built-in matrix product"
    return "CPU, \(String(cString: fusedLinearKernels.name)), \(threadCount) threads, \(library)"
  }

  public var warnings: [String] {
    missingBLAS.map {
      [
        "\($0.message): matrix products run on the slower built-in kernel; install OpenBLAS "
          + "(apt-get install libopenblas0, brew install openblas) or set MGLU_BLAS to a library"
      ]
    } ?? []
  }

  public func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result) {
    var measuring = ArenaLayout()
    _ = try describe(&measuring)
    let arena = Arena(byteCount: measuring.byteCount)
    var layout = ArenaLayout(over: arena)
    return (arena, try describe(&layout))
  }

  public func synchronize() {}

  public func finish() throws(BackendError) {}

  public func clear(_ tensor: Tensor) {
    guard let base = tensor.bytes.baseAddress else { return }
    pool.forEachRange(of: tensor.byteCount, unit: 64, grain: 1 << 16) { range in
      (base + range.lowerBound).initializeMemory(
        as: UInt8.self, repeating: 0, count: range.count)
    }
  }

  public func copy(_ source: Tensor, into target: Tensor) {
    precondition(source.byteCount == target.byteCount, "copy between tensors of different sizes")
    let (from, to) = (source.bytes.baseAddress!, target.bytes.baseAddress!)
    pool.forEachRange(of: source.byteCount, unit: 64, grain: 1 << 16) { range in
      (to + range.lowerBound).copyMemory(from: from + range.lowerBound, byteCount: range.count)
    }
  }

  public var productType: DataType { .float32 }

  public var vocabularyMultiple: Int { 1 }

  public var deviceMemory: (free: Int, total: Int)? { nil }

  public var choices: [String: String] {
    get { [:] }
    set {}
  }

  public func convert(_ source: Tensor, into target: Tensor) {
    precondition(target.dataType == .float32, "products of this backend are of float32")
    copy(source, into: target)
  }

  public func multiply(
    _ a: MatrixOperand, _ b: MatrixOperand, into c: Tensor, adding d: Tensor?
  ) {
    let (m, inner) = a.size
    let (depth, n) = b.size
    precondition(
      inner == depth && c.rows == m && c.columns == n,
      "[\(m), \(inner)] times [\(depth), \(n)] into [\(c.rows), \(c.columns)]")
    if let d, d.floats != c.floats { copy(d, into: c) }
    let product = MatrixProduct(
      transposeA: a.isTransposed, transposeB: b.isTransposed, m: m, n: n, k: inner,
      a: a.tensor.floats, lda: a.tensor.columns, b: b.tensor.floats, ldb: b.tensor.columns,
      accumulate: d != nil, c: c.floats, ldc: n)
    // Below some 100k multiplications the fork and join costs more than it saves.
    let grain = max(1, 100_000 / max(1, min(m, n) * inner))
    if m >= n {
      pool.forEachRange(of: m, unit: 16, grain: grain) { perform(product.rows($0)) }
    } else {
      pool.forEachRange(of: n, unit: 16, grain: grain) { perform(product.columns($0)) }
    }
  }

  /// Computes a product on the calling thread.
  func perform(_ p: MatrixProduct) {
    if let blas, p.fitsBLAS { return blas.multiply(p) }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: Int(CMGLU_GEMM_SCRATCH)) { scratch in
      kernels.gemm(
        p.transposeA, p.transposeB, Int64(p.m), Int64(p.n), Int64(p.k), p.a, Int64(p.lda),
        p.b, Int64(p.ldb), p.accumulate, p.c, Int64(p.ldc), scratch.baseAddress)
    }
  }
}
