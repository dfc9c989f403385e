import Dispatch
import Synchronization

/// Keeps work on long texts off the threads that serve connections: one text after the other, on a
/// thread of its own.
struct LongWork: Sendable {
  private let queue = DispatchQueue(label: "mglu.texts")

  /// A body of more bytes takes long; others would wait for the thread longer than the work takes.
  private static let longBody = 1 << 15

  /// The result of `body`, which works on a request of `byteCount` bytes. It is not begun if the task
  /// was canceled before its turn.
  func run<Result: Sendable>(
    _ byteCount: Int, _ body: @escaping @Sendable () throws(APIError) -> Result
  ) async throws(APIError) -> Result {
    if byteCount <= Self.longBody { return try body() }
    let turn = Turn()
    let result: Swift.Result<Result, APIError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        queue.async {
          continuation.resume(
            returning: Swift.Result { () throws(APIError) in
              if turn.isCanceled.load(ordering: .relaxed) { throw .stopping }
              return try body()
            })
        }
      }
    } onCancel: {
      turn.isCanceled.store(true, ordering: .relaxed)
    }
    return try result.get()
  }

  private final class Turn: Sendable {
    let isCanceled = Atomic(false)
  }
}
