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

  /// Opens the library that `MGLU_BLAS` names (`none` for no library), else the first that is
  /// found of MKL, OpenBLAS and Accelerate.
  static func find() throws(LibraryError) -> BLAS? {
    if Environment.value("MGLU_BLAS") == "none" { return nil }
    let candidates = [
      "libmkl_rt.so.2", "libopenblas.so.0", "libopenblas.so", "libopenblas.dylib",
      "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
      "/System/Library/Frameworks/Accelerate.framework/Accelerate",
    ]
    return BLAS(
      try SharedLibrary(
        "a BLAS", anyOf: candidates, override: "MGLU_BLAS", having: "cblas_sgemm"))
  }

  private init?(_ library: SharedLibrary) {
    guard let sgemm = library.function("cblas_sgemm", as: Sgemm.self) else { return nil }
    self.sgemm = sgemm
    path = library.path
    let file = Folder.name(of: library.path)
    let coreName = library.function(
      "openblas_get_corename", as: (@convention(c) () -> UnsafePointer<CChar>?).self)
    name = file + (coreName?().map { " (\(String(cString: $0)))" } ?? "")
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

/// One product C[m, n] = op(A)[m, k] op(B)[k, n] (+ C) over strided row-major memory.
struct MatrixProduct {
  var transposeA = false
  var transposeB = false
  var m: Int
  var n: Int
  var k: Int
  var a: UnsafePointer<Float>
  var lda: Int
  var b: UnsafePointer<Float>
  var ldb: Int
  var accumulate = false
  var c: UnsafeMutablePointer<Float>
  var ldc: Int

  /// Whether every size fits the 32-bit integers of the BLAS interface.
  var fitsBLAS: Bool { max(m, n, k, max(lda, ldb, ldc)) <= Int(Int32.max) }

  /// The part that computes `rows` of C.
  func rows(_ rows: Range<Int>) -> MatrixProduct {
    var part = self
    part.m = rows.count
    part.a = a + rows.lowerBound * (transposeA ? 1 : lda)
    part.c = c + rows.lowerBound * ldc
    return part
  }

  /// The part that computes `columns` of C.
  func columns(_ columns: Range<Int>) -> MatrixProduct {
    var part = self
    part.n = columns.count
    part.b = b + columns.lowerBound * (transposeB ? ldb : 1)
    part.c = c + columns.lowerBound
    return part
  }
}
