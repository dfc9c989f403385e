/// A sequence while the session generates it: makes events of the session's outputs.
final class RunningSequence {
  private let queued: QueuedSequence
  private let metrics: EngineMetrics
  private var detokenizer: StreamingDetokenizer
  private var stops: StopSequences
  private var isFinished = false
  private var lastToken: ContinuousClock.Instant?

  init(
    _ queued: QueuedSequence, tokenizer: Tokenizer, metrics: EngineMetrics
  ) {
    self.queued = queued
    self.metrics = metrics
    detokenizer = StreamingDetokenizer(
      tokenizer, startsText: queued.generation.prompt.allSatisfy(tokenizer.isSpecial))
    stops = StopSequences(queued.stopSequences)
  }

  var request: RequestState { queued.request }
  /// Whether generation has ended.
  var hasEnded: Bool { isFinished || request.isOver }

  /// Sends the output of a step.
  func receive(_ output: SequenceOutput) {
    if hasEnded { return }
    if let error = output.failure { return request.fail(ServingError(error)) }
    if let logprobs = output.promptLogprobs {
      metrics.countPrompt(queued.generation.prompt.count)
      metrics.countShared(output.sharedPromptTokens)
      queued.send(.prompt(logprobs))
    }
    if let id = output.token {
      countToken()
      // An EOS token has no text.
      let isEOS = output.finishReason == .stop
      let text = isEOS ? "" : stops.append(detokenizer.append(id))
      queued.send(.token(id: id, text: text, logprob: output.logprob))
    }
    if let reason = stops.isFound ? .stop : output.finishReason { finish(reason) }
  }

  private func finish(_ reason: FinishReason) {
    isFinished = true
    let text = stops.append(detokenizer.finish()) + stops.finish()
    queued.send(.finished(text: text, stops.isFound ? .stop : reason))
    request.finishSequence()
  }

  private func countToken() {
    let now = ContinuousClock.now
    if let lastToken {
      metrics.countToken(secondsSinceLast: (now - lastToken) / .seconds(1))
    } else {
      metrics.countFirstToken(seconds: request.age / .seconds(1))
    }
    lastToken = now
  }
}
