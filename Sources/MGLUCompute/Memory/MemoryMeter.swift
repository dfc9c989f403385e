import Synchronization

/// Counts the bytes that the tensors of a backend take. Without a lock, which a thread could hold while
/// another one forks.
package final class MemoryMeter: Sendable {
  private let present = Atomic<Int>(0)
  private let peak = Atomic<Int>(0)

  /// Bytes that are allocated now.
  package var byteCount: Int { present.load(ordering: .relaxed) }
  /// The most bytes that were allocated at a time.
  package var peakByteCount: Int { peak.load(ordering: .relaxed) }

  func count(_ bytes: Int) {
    let now = present.add(bytes, ordering: .relaxed).newValue
    peak.max(now, ordering: .relaxed)
  }
}
