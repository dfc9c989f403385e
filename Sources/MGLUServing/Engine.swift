import Dispatch
import Synchronization

/// Generates many sequences at once: a bounded queue of requests, and one thread that owns the model
/// and batches what is there.
///
///     let engine = try Engine(model, tokenizer: tokenizer)
///     let request = try engine.submit([
///       GenerationRequest(prompt: tokenizer.encode("To be"), maxTokens: 50)
///     ])
///     for try await (_, event) in request {
///       switch event {
///       case .token(_, let text, _), .finished(let text, _): print(text, terminator: "")
///       case .prompt: break
///       }
///     }
///     engine.drain()
///
/// Any thread may call an engine. A sequence does not depend on the sequences beside it.
public final class Engine: Sendable {
  package let configuration: ModelConfiguration
  package let tokenizer: Tokenizer
  /// The settings, within the limits of the model.
  package let settings: EngineSettings
  /// Maximum number of tokens of a sequence, its prompt included.
  package let contextLength: Int

  private let metrics = EngineMetrics()
  private let queue: Mutex<Queue>
  private let wake = DispatchSemaphore(value: 0)

  private struct Queue {
    var requests = RequestQueue()
    var state = State.open
  }

  /// Whether the engine accepts requests.
  package enum State: Sendable {
    case open
    /// The engine finishes accepted requests and ends.
    case draining
    /// The device has failed.
    case failed
  }

  /// Starts an engine over `model`. Its thread runs, and keeps engine and model, until ``drain()``.
  ///
  /// Throws ``ServingProblem/memory`` if the device has no memory for the key-value caches of as many
  /// and as long sequences as `settings` allow.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, settings: EngineSettings = .init()
  ) throws(ServingError) {
    let configuration = model.configuration
    let limit = configuration.contextLength
    let contextLength = max(1, min(settings.contextLength ?? limit, limit))
    let maxSequences = max(1, settings.maxSequences)
    // Caches are allocated as sequences start. A device that cannot allocate them later fails for good.
    do {
      try PhysicalMemory.require(
        Double(configuration.cacheByteCount(tokens: contextLength)) * Double(maxSequences),
        on: model.backend.deviceMemory,
        for: "the key-value cache of \(maxSequences) sequences of \(contextLength) tokens",
        remedy: "allow fewer or shorter sequences")
    } catch {
      throw ServingError(.memory, error.message, remedy: error.remedy)
    }
    self.configuration = configuration
    self.tokenizer = tokenizer
    self.settings = settings
    self.contextLength = contextLength
    queue = Mutex(Queue())
    // A thread of its own: a step computes for long and never waits.
    DispatchQueue(label: "mglu.engine", qos: .userInitiated).async { [self] in
      run(model, maxSequences: maxSequences)
    }
  }

  package var state: State { queue.withLock { $0.state } }

  /// Refuses further requests, finishes the accepted ones, and then ends the engine's thread.
  public func drain() {
    queue.withLock { if $0.state == .open { $0.state = .draining } }
    wake.signal()
  }

  /// Counts, gauges and latencies in Prometheus's exposition format, labeled with the name `model`.
  public func prometheusMetrics(model: String) -> String { metrics.exposition(model: model) }

  /// Queues a request for one or more sequences.
  ///
  /// A sequence ends with an EOS token of the model, with the first of `stopSequences`, which is not
  /// part of its text, with `GenerationRequest.maxTokens` tokens, or at the end of the context.
  ///
  /// Throws if a sequence cannot be generated, the queue is full, or the engine has ended. Errors that
  /// occur later end the iteration over the handle.
  public func submit(
    _ sequences: [GenerationRequest], stopSequences: [String] = []
  ) throws(ServingError) -> RequestHandle {
    let (request, handle) = RequestState.make(
      sequences: sequences.count, timeLimit: settings.timeLimit, metrics: metrics)
    var queued: [QueuedSequence] = []
    for (index, var generation) in sequences.enumerated() {
      try check(generation)
      // The last token is generated but not read.
      generation.maxTokens = min(
        generation.maxTokens, contextLength + 1 - generation.prompt.count)
      queued.append(
        QueuedSequence(
          request: request, index: index, generation: generation, stopSequences: stopSequences))
    }
    guard !queued.isEmpty else {
      handle.cancel()
      return handle
    }
    let error: ServingError? = queue.withLock { queue in
      switch queue.state {
      case .open: break
      case .draining: return .draining
      case .failed: return .deviceFailed
      }
      queue.requests.removeEnded(at: .now)
      guard queue.requests.count < settings.maxQueued else { return .queueFull }
      queue.requests.append(request, queued)
      return nil
    }
    if let error {
      metrics.countRejection()
      throw error
    }
    wake.signal()
    return handle
  }

  private func check(_ request: GenerationRequest) throws(ServingError) {
    guard !request.prompt.isEmpty else {
      throw ServingError(.emptyPrompt, "the prompt is empty: expected at least one token")
    }
    guard request.prompt.count <= contextLength else {
      throw ServingError(
        .contextLength,
        "the prompt has \(request.prompt.count) tokens: expected at most \(contextLength)",
        remedy: "shorten it")
    }
    let vocabulary = configuration.vocabularySize
    if let id = request.prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw ServingError(.tokenID, "token id \(id): expected 0 to \(vocabulary - 1)")
    }
    do { try request.sampling.validate() } catch { throw ServingError(error) }
  }

  /// The engine's thread.
  private func run(_ model: InferenceModel, maxSequences: Int) {
    let scheduler = Scheduler(
      model, tokenizer: tokenizer, maxSequences: maxSequences, contextLength: contextLength,
      metrics: metrics)
    while true {
      let (sequences, isLast) = takeQueued(scheduler.room)
      for sequence in sequences { scheduler.start(sequence) }
      if scheduler.isIdle {
        if isLast { return }
        if sequences.isEmpty { wake.wait() }
        continue
      }
      do { try scheduler.step() } catch {
        scheduler.fail(ServingError(error))
        return fail()
      }
    }
  }

  /// The sequences to start now, at most `count`, and whether no others will come.
  private func takeQueued(_ count: Int) -> (sequences: [QueuedSequence], isLast: Bool) {
    queue.withLock { queue in
      queue.requests.removeEnded(at: .now)
      let sequences = queue.requests.removeFirst(count)
      metrics.setQueued(queue.requests.sequenceCount)
      return (sequences, queue.state != .open && queue.requests.isEmpty)
    }
  }

  /// Ends the engine after a failure of the device.
  private func fail() {
    let requests = queue.withLock { queue in
      queue.state = .failed
      return queue.requests.removeAll()
    }
    for request in requests { request.fail(.deviceFailed) }
  }
}

extension ModelConfiguration {
  /// Bytes of the keys and values of `tokens` tokens.
  fileprivate func cacheByteCount(tokens: Int) -> Int {
    layers * 2 * attention.kvWidth * tokens * 4
  }
}
