/// Where tensors live and products are computed: the operations that training and inference share.
///
/// An operation is enqueued and may complete later; reading a result through ``Tensor`` on the
/// host is defined after ``synchronize()``. One thread at a time may drive a backend.
public protocol Backend: AnyObject, Sendable {
  /// What computes, in words: processor, instruction set, threads, BLAS.
  var summary: String { get }
  /// What the user should know, such as a missing library and its remedy.
  var warnings: [String] { get }

  /// Allocates zeroed memory for what `describe` lays out, and returns it with the description's
  /// result over that memory.
  func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> (arena: Arena, Result)

  /// Waits for every operation enqueued so far.
  func synchronize()

  /// Sets every element to zero.
  func clear(_ tensor: Tensor)
  /// Copies the elements of `source` to `target`, which has the same size.
  func copy(_ source: Tensor, into target: Tensor)
  /// target += source.
  func add(_ source: Tensor, into target: Tensor)

  /// C = A B, or C += A B where `accumulate` is set. Matrices are float32; the innermost dimension
  /// is the columns, all others together are the rows. Accumulates in float32.
  ///
  ///     backend.multiply(x, w.transposed, into: y)                        // y = x W^T
  ///     backend.multiply(dy, w, into: dx)                                 // dX = dY W
  ///     backend.multiply(dy.transposed, x, into: dw, accumulate: true)    // dW += dY^T X
  func multiply(_ a: MatrixOperand, _ b: MatrixOperand, into c: Tensor, accumulate: Bool)
}

extension Backend {
  /// y = x W^T and its kin; see ``multiply(_:_:into:accumulate:)``.
  public func multiply(_ a: Tensor, _ b: MatrixOperand, into c: Tensor, accumulate: Bool = false) {
    multiply(MatrixOperand(tensor: a, isTransposed: false), b, into: c, accumulate: accumulate)
  }

  /// dX = dY W and its kin; see ``multiply(_:_:into:accumulate:)``.
  public func multiply(_ a: Tensor, _ b: Tensor, into c: Tensor, accumulate: Bool = false) {
    multiply(a, MatrixOperand(tensor: b, isTransposed: false), into: c, accumulate: accumulate)
  }

  /// dW = dY^T X and its kin; see ``multiply(_:_:into:accumulate:)``.
  public func multiply(_ a: MatrixOperand, _ b: Tensor, into c: Tensor, accumulate: Bool = false) {
    multiply(a, MatrixOperand(tensor: b, isTransposed: false), into: c, accumulate: accumulate)
  }
}
