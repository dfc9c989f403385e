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
