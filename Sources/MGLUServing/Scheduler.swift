/// Runs sequences in a session: starts them, steps, and removes those that have ended.
final class Scheduler {
  private let session: InferenceSession
  private let tokenizer: Tokenizer
  private let metrics: EngineMetrics
  /// Which of the engine's replicas this is.
  let replica: Int
  private var running: [SequenceID: RunningSequence] = [:]

  init(
    _ model: InferenceModel, tokenizer: Tokenizer, _ plan: CachePlan, metrics: EngineMetrics,
    replica: Int
  ) {
    session = InferenceSession(
      model, maxSequences: plan.maxSequences, contextLength: plan.contextLength,
      cacheBlocks: plan.blocks)
    self.tokenizer = tokenizer
    (self.metrics, self.replica) = (metrics, replica)
    metrics.setCache(session.cacheBlocks, of: replica)
  }

  /// Whether no sequence runs.
  var isIdle: Bool { running.isEmpty }
  /// The blocks that sequences have.
  var usedBlocks: Int { session.cacheBlocks.used }

  /// Computes whatever the first requests would wait for.
  func warmUp(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool
  ) throws(GenerationError) {
    try session.warmUp(progress: progress, isCancelled: isCancelled)
  }

  /// Whether `queued` can start: there are a slot and blocks for as many tokens as it may come to.
  func hasRoom(for queued: QueuedSequence) -> Bool { session.hasRoom(for: queued.generation) }

  /// Starts `queued` with the next step.
  func start(_ queued: QueuedSequence) {
    do {
      running[try session.insert(queued.generation)] = RunningSequence(
        queued, tokenizer: tokenizer, replica: replica)
      metrics.setRunning(running.count, of: replica)
    } catch {
      queued.request.fail(ServingError(error))
    }
  }

  /// Computes a step. Throws if the device has failed.
  func step() throws(GenerationError) {
    let now = ContinuousClock.now
    for sequence in running.values { sequence.request.expire(at: now) }
    removeEnded()
    let outputs = try session.next()
    metrics.setCache(session.cacheBlocks, of: replica)
    for output in outputs { running[output.id]?.receive(output) }
    removeEnded()
  }

  /// Fails all running requests.
  func fail(_ error: ServingError) {
    for sequence in running.values { sequence.request.fail(error) }
    removeEnded()
  }

  private func removeEnded() {
    for (id, sequence) in running where sequence.hasEnded {
      session.remove(id)
      running[id] = nil
    }
    metrics.setRunning(running.count, of: replica)
    metrics.setCache(session.cacheBlocks, of: replica)
  }
}
