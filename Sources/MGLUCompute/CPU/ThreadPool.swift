import CMGLUKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A fixed team of threads for fork and join: its workers spin briefly for the next job, then
/// park, so that jobs of microseconds that follow each other cost no system call.
///
/// The calling thread is the team's first member. One job of a team of several runs at a time: callers
/// from other threads wait, and a job started from within a job runs on its own thread alone. A process
/// that forks leaves the workers behind: the child starts its own.
package final class ThreadPool: @unchecked Sendable {
  /// Members of the team, the caller included.
  package let threadCount: Int

  // Changed after a fork alone, by the one thread that renews them.
  private var team: Team
  private var workers: Int
  private var turn: UnsafeMutablePointer<pthread_mutex_t>
  private let renewal = ForkRenewal()

  /// Starts `threadCount - 1` workers, at least none.
  ///
  /// - Throws: ``BackendProblem/threadCount`` where the system starts no more threads.
  package init(threadCount: Int) throws(BackendError) {
    self.threadCount = max(threadCount, 1)
    team = Team()
    turn = Self.makeTurn()
    var code: Int32
    (workers, code) = team.startWorkers(self.threadCount - 1)
    if code != 0 {
      team.publish(nil, workers: workers)
      throw BackendError(
        .threadCount,
        "the system starts no more than \(workers + 1) of \(threadCount) threads: "
          + String(cString: strerror(code)),
        remedy: "use fewer threads, or raise the limit of processes")
    }
  }

  private static func makeTurn() -> UnsafeMutablePointer<pthread_mutex_t> {
    let turn = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(turn, nil)
    return turn
  }

  deinit {
    if !renewal.isDue { team.publish(nil, workers: workers) }
    pthread_mutex_destroy(turn)
    turn.deallocate()
  }

  /// Runs `body` once on each member, with the member's index, and waits for all.
  package func run(_ body: (Int) -> Void) {
    if threadCount == 1 || Team.isInsideJob {
      for index in 0..<threadCount { body(index) }
      return
    }
    renewal.renew {
      // The old lock may be held by a thread of the parent. Where the system starts fewer workers, the
      // caller does what they would have done.
      team = Team()
      turn = Self.makeTurn()
      workers = team.startWorkers(threadCount - 1).started
    }
    pthread_mutex_lock(turn)
    defer { pthread_mutex_unlock(turn) }
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { job in
        team.publish(job, workers: workers)
        Team.perform(job, index: 0)
        for index in workers + 1..<threadCount { Team.perform(job, index: index) }
        team.waitForWorkers()
      }
    }
  }

  /// Splits `0 ..< count` into one contiguous range per member, each but the last a multiple of
  /// `unit` long; a job of at most `grain` elements runs on the caller alone.
  package func forEachRange(
    of count: Int, unit: Int = 1, grain: Int = 1, _ body: (Range<Int>) -> Void
  ) {
    guard count > 0 else { return }
    if threadCount == 1 || count <= max(grain, unit) { return body(0..<count) }
    let units = (count + unit - 1) / unit
    run { index in
      let lower = units * index / threadCount * unit
      let upper = min(units * (index + 1) / threadCount * unit, count)
      if lower < upper { body(lower..<upper) }
    }
  }

  /// Runs `body` for each of `0 ..< count`, whoever is free taking the next: for uneven work.
  /// `body` also gets the index of the member that runs it.
  package func forEach(_ count: Int, _ body: (_ item: Int, _ member: Int) -> Void) {
    let next = Atomic(0)
    run { member in
      while true {
        let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if item >= count { return }
        body(item, member)
      }
    }
  }
}

extension ThreadPool {
  /// Splits `0 ..< count` into ranges that whoever is free takes, large ones first and ranges of
  /// `smallest` at the end, multiples of `unit` long: long walks through memory, and an even end
  /// (guided self-scheduling, Polychronopoulos and Kuck 1987). `body` also gets the index of the member
  /// that runs it.
  package func forEachPart(
    of count: Int, unit: Int, smallest: Int, _ body: (_ part: Range<Int>, _ member: Int) -> Void
  ) {
    let next = Atomic(0)
    run { member in
      var lower = next.load(ordering: .relaxed)
      while lower < count {
        let fair = (count - lower) / threadCount * 3 / 4 / unit * unit
        let upper = min(count, lower + max(fair, smallest, unit))
        let taken = next.compareExchange(
          expected: lower, desired: upper, ordering: .relaxed)
        if taken.exchanged { body(lower..<upper, member) }
        lower = taken.exchanged ? next.load(ordering: .relaxed) : taken.original
      }
    }
  }
}

/// What the members share. Workers keep it alive, not the pool, so that a pool can end.
private final class Team: @unchecked Sendable {
  /// The job lies on the caller's stack, which waits until every member is done with it.
  typealias Job = UnsafePointer<(Int) -> Void>

  /// Counts jobs: a worker runs one when the number changes.
  private let generation = Atomic<Int>(0)
  private let unfinished = Atomic<Int>(0)
  private let parked = Atomic<Int>(0)
  private var job: Job?
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>

  /// Polls before a worker parks: about 50 microseconds.
  private static let spins = 1500

  private static let insideKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  init() {
    mutex = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
  }

  deinit {
    pthread_cond_destroy(wake)
    pthread_mutex_destroy(mutex)
    wake.deallocate()
    mutex.deallocate()
  }

  static var isInsideJob: Bool { pthread_getspecific(insideKey) != nil }

  // Not inlined: the closure's reference must be released before the member reports itself done.
  @inline(never)
  static func perform(_ job: Job, index: Int) {
    pthread_setspecific(insideKey, UnsafeRawPointer(bitPattern: 1))
    job.pointee(index)
    pthread_setspecific(insideKey, nil)
  }

  func publish(_ job: Job?, workers: Int) {
    self.job = job
    unfinished.store(workers, ordering: .relaxed)
    generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if parked.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(mutex)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(mutex)
    }
  }

  func waitForWorkers() {
    var polls = 0
    while unfinished.load(ordering: .acquiring) > 0 {
      polls += 1
      if polls < Self.spins { cmglu_relax() } else { sched_yield() }
    }
    job = nil
  }

  /// Starts workers 1, 2 ... up to `count`; returns how many, and the system's error, 0 for none.
  func startWorkers(_ count: Int) -> (started: Int, error: Int32) {
    for index in 0..<count {
      let code = startWorker(index + 1)
      if code != 0 { return (index, code) }
    }
    return (count, 0)
  }

  /// Starts a worker; returns the system's error, 0 for none.
  private func startWorker(_ index: Int) -> Int32 {
    SystemThread.start { self.work(index) }
  }

  private func work(_ index: Int) {
    var seen = 0
    while true {
      waitForJob(after: seen)
      seen += 1
      guard let job else { return }
      Self.perform(job, index: index)
      unfinished.wrappingSubtract(1, ordering: .releasing)
    }
  }

  private func waitForJob(after seen: Int) {
    for _ in 0..<Self.spins {
      if generation.load(ordering: .acquiring) != seen { return }
      cmglu_relax()
    }
    parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(mutex)
    while generation.load(ordering: .sequentiallyConsistent) == seen {
      pthread_cond_wait(wake, mutex)
    }
    pthread_mutex_unlock(mutex)
    parked.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }
}
