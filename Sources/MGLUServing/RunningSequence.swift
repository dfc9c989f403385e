/// A sequence while the session generates it: makes events of the session's outputs.
final class RunningSequence {
  private let queued: QueuedSequence
  private let replica: Int
  private var detokenizer: StreamingDetokenizer
  private var stops: StopSequences
  private var isFinished = false
  private var tokenCount = 0
  private var lastToken: ContinuousClock.Instant?

  init(_ queued: QueuedSequence, tokenizer: Tokenizer, replica: Int) {
    (self.queued, self.replica) = (queued, replica)
    detokenizer = StreamingDetokenizer(
      tokenizer, startsText: queued.generation.prompt.allSatisfy(tokenizer.isSpecial))
    stops = StopSequences(queued.stops)
  }

  var request: RequestState { queued.request }
  private var metrics: EngineMetrics { request.metrics }
  /// Whether generation has ended.
  var hasEnded: Bool { isFinished || request.isOver }

  /// Sends the output of a step.
  func receive(_ output: SequenceOutput) {
    if hasEnded { return }
    if let error = output.failure { return request.fail(ServingError(error)) }
    if let logprobs = output.promptLogprobs {
      metrics.countPrompt(queued.generation.prompt.count, of: replica)
      metrics.countShared(output.sharedPromptTokens, of: replica)
      queued.send(.prompt(logprobs, cachedTokens: output.sharedPromptTokens))
    }
    if let id = output.token {
      countToken()
      // A token that ends the sequence has no text.
      let isEOS = output.finishReason == .stop
      let text = isEOS ? "" : checked(detokenizer.append(id))
      queued.send(.token(id: id, text: text, logprob: output.logprob))
    }
    if let reason = stops.isFound ? .stop : output.finishReason { finish(reason) }
  }

  /// The part of `text` that belongs to no stop sequence. The text of the first tokens, which may not
  /// end the sequence, is not looked at.
  private func checked(_ text: String) -> String {
    tokenCount <= queued.generation.minTokens ? text : stops.append(text)
  }

  private func finish(_ reason: FinishReason) {
    isFinished = true
    let text = stops.append(detokenizer.finish()) + stops.finish()
    queued.send(.finished(text: text, stops.isFound ? .stop : reason))
    request.finishSequence()
  }

  private func countToken() {
    tokenCount += 1
    let now = ContinuousClock.now
    if let lastToken {
      metrics.countToken(secondsSinceLast: (now - lastToken) / .seconds(1), of: replica)
    } else {
      metrics.countFirstToken(seconds: request.age / .seconds(1), of: replica)
    }
    lastToken = now
  }
}
