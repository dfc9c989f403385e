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
  private let thread = DispatchQueue(label: "mglu.engine", qos: .userInitiated)

  private struct Queue {
    var requests = RequestQueue()
    var state = State.loading
    /// Who waits for the end of loading.
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// What the device failed with.
    var failure: ServingError?
  }

  /// Whether the engine accepts requests.
  package enum State: Sendable {
    /// Kernels are compiled: accepted requests wait.
    case loading
    case open
    /// The engine finishes accepted requests and ends.
    case draining
    /// The device has failed.
    case failed
  }

  /// Starts an engine over `model`. Its thread runs, and keeps engine and model, until ``drain()``.
  ///
  /// On a GPU it compiles its kernels first (``waitUntilReady()``).
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokenizer: The model's.
  ///   - settings: The limits.
  ///   - progress: Receives how many kernels are compiled, of how many, on any thread.
  /// - Throws: ``ServingProblem/memory`` if the device has no memory for the key-value cache that `settings`
  ///   ask for.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, settings: EngineSettings = .init(),
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(ServingError) {
    let plan = try CachePlan(model, settings)
    configuration = model.configuration
    self.tokenizer = tokenizer
    self.settings = settings
    contextLength = plan.contextLength
    queue = Mutex(Queue())
    // Where nothing is compiled the engine is ready at once.
    if !model.backend.isAsynchronous { endLoading(.open) }
    // A thread of its own: a step computes for long and never waits.
    thread.async { [self] in
      run(model, plan, progress)
    }
  }

  /// Waits until the engine computes what is submitted: no request waits for a kernel then.
  ///
  /// - Throws: ``ServingProblem/device`` if the device failed.
  public func waitUntilReady() async throws(ServingError) {
    await withCheckedContinuation { continuation in
      let isLoading = queue.withLock { queue in
        if queue.state == .loading { queue.waiting.append(continuation) }
        return queue.state == .loading
      }
      if !isLoading { continuation.resume() }
    }
    if let failure = queue.withLock({ $0.failure }) { throw failure }
  }

  private func endLoading(_ state: State) {
    let waiting = queue.withLock { queue in
      if queue.state == .loading { queue.state = state }
      defer { queue.waiting = [] }
      return queue.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  package var state: State { queue.withLock { $0.state } }

  /// Refuses further requests, finishes the accepted ones, and then ends the engine's thread.
  public func drain() {
    queue.withLock { if $0.state != .failed { $0.state = .draining } }
    endLoading(.draining)
    wake.signal()
  }

  /// Waits until the engine's thread has ended and let go of the device, which the process must not
  /// leave behind at work: end the engine first (``drain()``).
  public func waitUntilEnded() async {
    // What the thread has held is released before its queue goes on.
    await withCheckedContinuation { continuation in
      thread.async { continuation.resume() }
    }
  }

  /// Counts, gauges and latencies in Prometheus's exposition format, labeled with the name `model`.
  public func prometheusMetrics(model: String) -> String { metrics.exposition(model: model) }

  /// Queues a request for one or more sequences.
  ///
  /// A sequence ends with an EOS token of the model, with the first of `stopSequences`, which is not
  /// part of its text, with `GenerationRequest.maxTokens` tokens, or at the end of the context.
  ///
  /// Clients of different names get equal shares of the engine while they wait, whatever one of them
  /// asks for. Where the queue is full, a client that waits with less displaces the last request of the
  /// one that waits with most (``ServingProblem/queueFull``).
  ///
  /// Throws if a sequence cannot be generated, the queue is full, or the engine has ended. Errors that
  /// occur later end the iteration over the handle.
  public func submit(
    _ sequences: [GenerationRequest], stopSequences: [String] = [], client: String = ""
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
      case .loading, .open: break
      case .draining: return .draining
      case .failed: return .deviceFailed
      }
      queue.requests.removeEnded(at: .now)
      if queue.requests.count >= settings.maxQueued {
        guard let displaced = queue.requests.makeRoom(for: client) else { return .queueFull }
        metrics.countRejection()
        displaced.fail(.queueFull)
      }
      queue.requests.append(request, queued, client: client)
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
  private func run(
    _ model: InferenceModel, _ plan: CachePlan,
    _ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) {
    let scheduler = Scheduler(model, tokenizer: tokenizer, plan, metrics: metrics)
    // Whoever drains the engine before it is ready waits no longer than for a kernel.
    let isUnwanted: @Sendable () -> Bool = { [self] in
      queue.withLock { $0.state == .draining && $0.requests.isEmpty }
    }
    do { try scheduler.warmUp(progress: progress, isCancelled: isUnwanted) } catch {
      return fail(error)
    }
    endLoading(.open)
    while true {
      let isLast = startQueued(on: scheduler)
      if scheduler.isIdle {
        if isLast { return }
        wake.wait()
        continue
      }
      do { try scheduler.step() } catch {
        scheduler.fail(ServingError(error))
        return fail(error)
      }
    }
  }

  /// Starts sequences in order of arrival, as long as there is room for the next. Returns whether none is
  /// left and no others will come.
  private func startQueued(on scheduler: Scheduler) -> Bool {
    queue.withLock { $0.requests.removeEnded(at: .now) }
    while let sequence = queue.withLock({ $0.requests.removeFirst(if: scheduler.hasRoom) }) {
      scheduler.start(sequence)
    }
    return queue.withLock { queue in
      metrics.setQueued(queue.requests.sequenceCount)
      return queue.state == .draining && queue.requests.isEmpty
    }
  }

  /// Ends the engine after a failure of the device.
  private func fail(_ error: GenerationError) {
    let requests = queue.withLock { queue in
      queue.state = .failed
      queue.failure = ServingError(error)
      return queue.requests.removeAll()
    }
    endLoading(.failed)
    for request in requests { request.fail(.deviceFailed) }
  }
}
