/// Where tensors live and products are computed: the operations that training and inference share.
///
/// An operation is enqueued and may complete later; reading a result through ``Tensor`` on the
/// host is defined after ``synchronize()``. One thread at a time may drive a backend. What fails on
/// a device, memory that it lacks included, is told by ``finish()``.
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
  /// Waits for every operation enqueued so far, and throws the first failure among them. After a
  /// failure nothing more is computed.
  func finish() throws(BackendError)

  /// Sets every element to zero.
  func clear(_ tensor: Tensor)
  /// Copies the elements of `source` to `target`, which has the same size; either may be the
  /// host's.
  func copy(_ source: Tensor, into target: Tensor)
}
