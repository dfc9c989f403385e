/// Runs sequences in a session: starts them, steps, and removes those that have ended.
final class Scheduler {
  private let session: InferenceSession
  private let tokenizer: Tokenizer
  private let maxSequences: Int
  private let metrics: EngineMetrics
  private var running: [SequenceID: RunningSequence] = [:]

  init(
    _ model: InferenceModel, tokenizer: Tokenizer, maxSequences: Int, contextLength: Int,
    metrics: EngineMetrics
  ) {
    session = InferenceSession(model, maxSequences: maxSequences, contextLength: contextLength)
    self.tokenizer = tokenizer
    self.maxSequences = maxSequences
    self.metrics = metrics
  }

  /// Whether no sequence runs.
  var isIdle: Bool { running.isEmpty }
  /// How many more sequences can start.
  var room: Int { maxSequences - running.count }

  /// Starts `queued` with the next step.
  func start(_ queued: QueuedSequence) {
    do {
      running[try session.insert(queued.generation)] = RunningSequence(
        queued, tokenizer: tokenizer, metrics: metrics)
      metrics.setRunning(running.count)
    } catch {
      queued.request.fail(ServingError(error))
    }
  }

  /// Computes a step. Throws if the device has failed.
  func step() throws(GenerationError) {
    let now = ContinuousClock.now
    for sequence in running.values { sequence.request.expire(at: now) }
    removeEnded()
    for output in try session.next() {
      running[output.id]?.receive(output)
    }
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
    metrics.setRunning(running.count)
  }
}
