import Dispatch

// The threads of an engine: each owns a model, and starts what waits in the engine's queue when it is its
// turn.

extension Engine {
  /// One of an engine's models: how to reach the thread that owns it.
  struct Replica: Sendable {
    let index: Int
    let wake = DispatchSemaphore(value: 0)
    /// A thread of its own: a step computes for long and never waits.
    let thread: DispatchQueue

    init(_ index: Int) {
      self.index = index
      thread = DispatchQueue(label: "mglu.engine.\(index)", qos: .userInitiated)
    }
  }

  /// Lets every replica look at the queue.
  func wakeAll() {
    for replica in replicas { replica.wake.signal() }
  }

  /// Starts the threads. The first compiles the kernels, and the others find them compiled.
  func start(
    _ models: [InferenceModel], _ plans: [CachePlan],
    _ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) {
    replicas[0].thread.async { [self] in
      run(replicas[0], models[0], plans[0], progress) { [self] in
        for replica in replicas.dropFirst() {
          replica.thread.async { [self] in
            run(replica, models[replica.index], plans[replica.index])
          }
        }
      }
    }
  }

  /// The thread of `replica`; `afterLoading` is called in any case.
  private func run(
    _ replica: Replica, _ model: InferenceModel, _ plan: CachePlan,
    _ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in },
    afterLoading: () -> Void = {}
  ) {
    let scheduler = Scheduler(
      model, tokenizer: tokenizer, plan, metrics: metrics, replica: replica.index)
    // Whoever drains the engine before it is ready waits no longer than for a kernel.
    let isUnwanted: @Sendable () -> Bool = { [self] in queue.withLock { $0.isLast } }
    do {
      defer { afterLoading() }
      try scheduler.warmUp(progress: progress, isCancelled: isUnwanted)
    } catch {
      return fail(replica, error)
    }
    queue.withLock { $0.setReady(replica.index) }
    while true {
      let isLast = startQueued(on: scheduler)
      if scheduler.isIdle {
        if isLast { return }
        replica.wake.wait()
        continue
      }
      do { try scheduler.step() } catch {
        scheduler.fail(ServingError(error))
        return fail(replica, error)
      }
    }
  }

  /// Starts sequences in the order of the queue, as long as it is this replica's turn. Returns whether none
  /// is left and no others will come.
  private func startQueued(on scheduler: Scheduler) -> Bool {
    queue.withLock { $0.requests.removeEnded(at: .now) }
    search: while true {
      let turn = queue.withLock {
        $0.next(
          for: scheduler.replica, usedBlocks: scheduler.usedBlocks, hasRoom: scheduler.hasRoom)
      }
      switch turn {
      case .own(let sequence): scheduler.start(sequence)
      case .other(let index):
        replicas[index].wake.signal()
        break search
      case .none: break search
      }
    }
    let isLast = queue.withLock { queue in
      metrics.setQueued(queue.requests.sequenceCount)
      return queue.isLast
    }
    // Those that wait for work wait for nothing now.
    if isLast { wakeAll() }
    return isLast
  }

  /// Ends the work of a replica after a failure of its device. Others go on.
  private func fail(_ replica: Replica, _ error: GenerationError) {
    let requests = queue.withLock { $0.fail(replica.index, ServingError(error)) }
    for request in requests { request.fail(.deviceFailed) }
    wakeAll()
  }
}
