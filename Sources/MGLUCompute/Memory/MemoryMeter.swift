import Synchronization

/// Counts the bytes that the tensors of a backend take.
package final class MemoryMeter: Sendable {
  private let counts = Mutex((present: 0, peak: 0))

  /// Bytes that are allocated now.
  package var byteCount: Int { counts.withLock { $0.present } }
  /// The most bytes that were allocated at a time.
  package var peakByteCount: Int { counts.withLock { $0.peak } }

  func count(_ bytes: Int) {
    counts.withLock { counts in
      counts.present += bytes
      counts.peak = max(counts.peak, counts.present)
    }
  }
}
