import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a process must make anew after a fork: locks that another thread of the parent may have held,
/// and threads, which stay behind.
///
/// The first thread of a child that needs them makes them, while others wait; a child that needs none
/// makes none.
package final class ForkRenewal: Sendable {
  /// Forks that led to this process.
  private static let forks = Atomic<Int>(0)
  private static let isCounting: Bool =
    pthread_atfork(
      nil, nil, { ForkRenewal.forks.wrappingAdd(1, ordering: .sequentiallyConsistent) })
    == 0

  // The fork that was renewed after, or, while that is done, -1 minus its number.
  private let renewed: Atomic<Int>

  /// What belongs to it exists in this process.
  package init() {
    _ = Self.isCounting
    renewed = Atomic(Self.forks.load(ordering: .acquiring))
  }

  /// Whether this process is another than the one that called `init` or ``renew(_:)`` last.
  package var isDue: Bool {
    renewed.load(ordering: .acquiring) != Self.forks.load(ordering: .acquiring)
  }

  /// Calls `body` once in each process that is a fork of the one that has what it makes.
  @inline(__always)
  package func renew(_ body: () -> Void) { if isDue { renewNow(body) } }

  @inline(never)
  private func renewNow(_ body: () -> Void) {
    let now = Self.forks.load(ordering: .acquiring)
    while true {
      let seen = renewed.load(ordering: .acquiring)
      if seen == now { return }
      // A mark of another fork is that of a thread that stayed behind.
      if seen == -1 - now {
        sched_yield()
      } else if renewed.compareExchange(
        expected: seen, desired: -1 - now, ordering: .acquiringAndReleasing
      ).exchanged {
        body()
        renewed.store(now, ordering: .releasing)
        return
      }
    }
  }
}
