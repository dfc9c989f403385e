import MGLUReports
import Synchronization

/// How many kernels are compiled, as a line.
final class CompilationProgress: Sendable {
  private let line = Mutex<ProgressLine?>(nil)

  /// Shows that `done` of `total` are compiled.
  func update(_ done: Int, _ total: Int) {
    guard total > 0 else { return }
    line.withLock { line in
      var own = line ?? ProgressLine(total: total)
      own.update(done: done, "\(done) of \(total) kernels")
      if done == total { own.finish() }
      line = own
    }
  }
}
