#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The single-precision matrix product of a BLAS found at run time.
///
/// The library is told to compute on the calling thread: ``CPUBackend`` splits products over its
/// own threads, so that two teams never compete for the same cores and the result depends on
/// nothing but this backend's thread count.
struct BLAS: @unchecked Sendable {
  /// The library's file name, and for OpenBLAS the core whose kernels it chose.
  let name: String
  /// Where it lies.
  let path: String

  private typealias Sgemm =
    @convention(c) (
      Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32,
      UnsafePointer<Float>, Int32, Float, UnsafeMutablePointer<Float>, Int32
    ) -> Void
  private let sgemm: Sgemm

  /// The library that `MGLU_BLAS` names (`none` for no library), else the first that is found of
  /// MKL, OpenBLAS and Accelerate; opened once.
  static func find() throws(LibraryError) -> BLAS? { try found.get() }

  private static let found = Result { () throws(LibraryError) -> BLAS? in
    if Environment.value("MGLU_BLAS") == "none" { return nil }
    let library = try open()
    guard let core = coreName(library), let better = betterCore(than: core) else {
      return BLAS(library)
    }
    library.close()
    setenv(coreVariable, better, 1)
    defer { unsetenv(coreVariable) }
    return BLAS(try open())
  }

  private static func open() throws(LibraryError) -> SharedLibrary {
    try SharedLibrary(
      "a BLAS",
      anyOf: [
        "libmkl_rt.so.2", "libopenblas.so.0", "libopenblas.so", "libopenblas.dylib",
        "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
        "/System/Library/Frameworks/Accelerate.framework/Accelerate",
      ], override: "MGLU_BLAS", having: "cblas_sgemm")
  }

  /// The core whose kernels OpenBLAS chose.
  private static func coreName(_ library: SharedLibrary) -> String? {
    library.function(
      "openblas_get_corename", as: (@convention(c) () -> UnsafePointer<CChar>?).self
    )
    .flatMap { $0() }.map { String(cString: $0) }
  }

  private static let coreVariable = "OPENBLAS_CORETYPE"

  /// The core that OpenBLAS should take where it took one without AVX2, though this machine has it:
  /// a processor that is younger than the library gets the oldest kernels, at a quarter of the speed.
  /// It listens to a variable as it is opened, which is the user's where it is set.
  private static func betterCore(than core: String) -> String? {
    guard getenv(coreVariable) == nil,
      !["Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"].contains(core)
    else { return nil }
    return [("avx512bf16", "Cooperlake"), ("avx512", "SkylakeX"), ("avx2", "Haswell")]
      .first { CPUBackend.instructionSets.contains($0.0) }?.1
  }

  private init?(_ library: SharedLibrary) {
    guard let sgemm = library.function("cblas_sgemm", as: Sgemm.self) else { return nil }
    self.sgemm = sgemm
    path = library.path
    let file = Folder.name(of: library.path)
    name = file + (Self.coreName(library).map { " (\($0))" } ?? "")
    for setter in ["openblas_set_num_threads", "MKL_Set_Num_Threads"] {
      library.function(setter, as: (@convention(c) (Int32) -> Void).self)?(1)
    }
    // Accelerate: BLAS_THREADING_SINGLE_THREADED is 1.
    _ = library.function("BLASSetThreading", as: (@convention(c) (UInt32) -> Int32).self)?(1)
  }

  /// C[m, n] = op(A) op(B) (+ C), row-major.
  func multiply(_ p: MatrixProduct) {
    let rowMajor: Int32 = 101
    let plain: Int32 = 111
    let transposed: Int32 = 112
    sgemm(
      rowMajor, p.transposeA ? transposed : plain, p.transposeB ? transposed : plain,
      Int32(p.m), Int32(p.n), Int32(p.k), 1, p.a, Int32(p.lda), p.b, Int32(p.ldb),
      p.accumulate ? 1 : 0, p.c, Int32(p.ldc))
  }
}
