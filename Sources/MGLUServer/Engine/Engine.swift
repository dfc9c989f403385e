import Dispatch
import Synchronization

/// A model at work: a bounded queue, and one thread that owns the model and batches what is there.
public final class Engine: Sendable {
  /// The shape of the model.
  let configuration: ModelConfiguration
  let tokenizer: Tokenizer
  let settings: EngineSettings
  let metrics = ServerMetrics()

  private let queue: Mutex<Queue>
  private let wake = DispatchSemaphore(value: 0)

  /// What waits, and whether more may come.
  private struct Queue {
    var waiting = WaitingRequests()
    var state = State.open
  }

  /// Whether requests are taken.
  enum State {
    case open
    /// What was taken is finished; nothing more is.
    case draining
    /// The device failed.
    case failed
  }

  /// Starts an engine over a model. Throws where the device has no memory for as many texts, as long,
  /// as `settings` allow.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, settings: EngineSettings = .init()
  ) throws(MemoryError) {
    var settings = settings
    settings.context = min(
      settings.context ?? .max, model.configuration.contextLength)
    settings.mostTexts = max(1, settings.mostTexts)
    let context = settings.context ?? model.configuration.contextLength
    let bytes = model.configuration.cacheByteCount(tokens: context)
    // The memory is taken when texts come: a device that lacks it then computes nothing any more.
    try PhysicalMemory.require(
      Double(bytes) * Double(settings.mostTexts), on: model.backend.deviceMemory,
      for: "the memory of \(settings.mostTexts) texts of \(context) tokens",
      remedy: "choose a smaller --max-batch or --context")
    self.configuration = model.configuration
    self.tokenizer = tokenizer
    self.settings = settings
    queue = Mutex(Queue())
    // A thread of its own: a step computes for long and never waits.
    DispatchQueue(label: "mglu.engine", qos: .userInitiated).async { [self] in
      run(model, context: context)
    }
  }

  /// The number of tokens that a text has room for.
  var context: Int { settings.context ?? configuration.contextLength }

  /// Whether requests are taken.
  var state: State { queue.withLock { $0.state } }

  /// Finishes what was taken and nothing more.
  public func drain() {
    queue.withLock { if $0.state == .open { $0.state = .draining } }
    wake.signal()
  }

  /// Takes the texts of a request. Returns what happens to them, and what gives them up; so does
  /// whoever stops listening.
  package func submit(
    _ texts: [TextRequest]
  ) throws(APIError) -> (events: AsyncStream<RequestEvent>, cancel: @Sendable () -> Void) {
    let (request, events) = ServedRequest.make(
      texts: texts.count, timeLimit: settings.timeLimit, metrics: metrics)
    var jobs: [TextJob] = []
    for (index, text) in texts.enumerated() {
      try check(text)
      let sampler: Sampler
      do { sampler = try Sampler(text.sampling) } catch { throw .invalid(error.message) }
      jobs.append(
        TextJob(
          request: request, index: index, text: text, sampler: sampler,
          eosTokenIDs: Set(configuration.eosTokenIDs)))
    }
    let problem: APIError? = queue.withLock { queue in
      guard queue.state == .open else {
        return queue.state == .draining ? .stopping : .deviceFailed
      }
      queue.waiting.removeEnded(at: .now)
      guard queue.waiting.count < settings.mostWaiting else { return .queueFull }
      queue.waiting.append(request, jobs)
      return nil
    }
    if let problem {
      metrics.countRejection()
      throw problem
    }
    wake.signal()
    return (events, request.cancel)
  }

  private func check(_ text: TextRequest) throws(APIError) {
    guard !text.prompt.isEmpty else {
      throw .invalid("the prompt is empty: expected at least one token", param: "prompt")
    }
    guard text.prompt.count <= context else {
      throw .contextExceeded(found: text.prompt.count, most: context)
    }
    let vocabulary = configuration.vocabularySize
    if let bad = text.prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw .invalid("token id \(bad): expected 0 to \(vocabulary - 1)", param: "prompt")
    }
  }

  private func run(_ model: InferenceModel, context: Int) {
    let scheduler = Scheduler(
      model, tokenizer: tokenizer, mostTexts: settings.mostTexts, capacity: context,
      metrics: metrics)
    while true {
      let (jobs, isOver) = take(most: scheduler.room)
      for job in jobs { scheduler.start(job) }
      if scheduler.isIdle {
        if isOver { return }
        wake.wait()
        continue
      }
      do { try scheduler.step() } catch {
        scheduler.fail(.internalError(error.message))
        return fail()
      }
    }
  }

  /// What is to start now, and whether nothing will come any more.
  private func take(most: Int) -> (jobs: [TextJob], isOver: Bool) {
    queue.withLock { queue in
      queue.waiting.removeEnded(at: .now)
      let jobs = queue.waiting.takeTexts(most: most)
      metrics.setWaiting(queue.waiting.textCount)
      return (jobs, queue.state != .open && queue.waiting.isEmpty)
    }
  }

  /// The thread ends; whoever asks is told.
  private func fail() {
    let waiting = queue.withLock { queue in
      queue.state = .failed
      return queue.waiting.removeAll()
    }
    for request in waiting { request.fail(.deviceFailed) }
  }
}

extension ModelConfiguration {
  /// Bytes of the keys and values of `tokens` tokens.
  fileprivate func cacheByteCount(tokens: Int) -> Int {
    layers * 2 * attention.kvWidth * tokens * 4
  }
}
