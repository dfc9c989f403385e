import Synchronization

/// Generates many sequences at once: a bounded queue of requests, and a thread that owns the model and
/// batches what is there; several threads where there are replicas of the model on several devices.
///
///     let engine = try Engine(model, tokenizer: tokenizer)
///     let request = try engine.submit([
///       GenerationRequest(
///         prompt: tokenizer.encode("To be", addsSpecialTokens: true), maxTokens: 50)
///     ])
///     for try await (_, event) in request {
///       switch event {
///       case .token(_, let text, _), .finished(let text, _): print(text, terminator: "")
///       case .prompt: break
///       }
///     }
///     engine.drain()
///     await engine.waitUntilEnded()
///
/// Any thread may call an engine. A sequence does not depend on the sequences beside it. An engine drives the
/// backend of its model from threads of its own: on a GPU let nobody else use that backend (`fresh()` makes
/// another). It lives, with its memory, until it is drained.
public final class Engine: Sendable {
  package let configuration: ModelConfiguration
  package let tokenizer: Tokenizer
  /// The settings, within the limits of the model.
  package let settings: EngineSettings
  /// Maximum number of tokens of a sequence, its prompt included.
  package let contextLength: Int

  private let cacheBlockSize: Int
  let metrics: EngineMetrics
  let queue: Mutex<EngineQueue>
  let replicas: [Replica]

  /// Whether the engine accepts requests.
  package enum State: Sendable {
    /// Kernels are compiled: accepted requests wait.
    case loading
    case open
    /// Devices have failed; others compute what comes.
    case impaired
    /// The engine finishes accepted requests and ends.
    case draining
    /// The device, or the last of several, has failed.
    case failed
  }

  /// Starts an engine over `model`. Its threads run, and keep engine and models, until ``drain()``.
  ///
  /// On a GPU it compiles its kernels first (``waitUntilReady()``).
  ///
  /// A sequence runs on the replica that has the least to do, or has read the beginning of its prompt. It is
  /// the same on each where their devices are of one kind, with as many threads. What `settings` say of
  /// sequences at a time and of the key-value cache holds for each replica, and the rest for all together.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - others: Further replicas of `model`, each on a backend of its own
  ///     (`InferenceModel.replica(on:)` where that is the CPU's).
  ///   - tokenizer: The model's.
  ///   - settings: The limits.
  ///   - progress: Receives how many kernels are compiled, of how many, on any thread.
  /// - Throws: ``ServingProblem/settings`` if a setting is out of its range, and
  ///   ``ServingProblem/memory`` if a device has no memory for the key-value cache that `settings` ask
  ///   for.
  public init(
    _ model: InferenceModel, replicas others: [InferenceModel] = [], tokenizer: Tokenizer,
    settings: EngineSettings = .init(),
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(ServingError) {
    let models = [model] + others
    var plans: [CachePlan] = []
    for model in models {
      plans.append(try CachePlan(model, besides: others.count, settings))
    }
    configuration = model.configuration
    self.tokenizer = tokenizer
    self.settings = settings
    contextLength = plans[0].contextLength
    cacheBlockSize = model.backend.cacheBlockSize
    metrics = EngineMetrics(replicas: models.count)
    queue = Mutex(EngineQueue(models, plans))
    replicas = models.indices.map(Replica.init)
    start(models, plans, progress)
  }

  /// Waits until the engine computes what is submitted: no request waits for a kernel then.
  ///
  /// - Throws: ``ServingProblem/device`` if a device failed, and ``ServingProblem/draining`` after
  ///   ``drain()``, which ends the waiting too.
  public func waitUntilReady() async throws(ServingError) {
    await withCheckedContinuation { continuation in
      queue.withLock { $0.waitUntilLoaded(continuation) }
    }
    if let error = queue.withLock({ $0.failure ?? $0.refusal }) { throw error }
  }

  package var state: State { queue.withLock { $0.state } }

  /// Refuses further requests, finishes the accepted ones, and then ends the engine's threads.
  public func drain() {
    queue.withLock { $0.drain() }
    wakeAll()
  }

  /// Waits until the engine's threads have ended and let go of their devices, which the process must not
  /// leave behind at work: end the engine first (``drain()``).
  public func waitUntilEnded() async {
    // The first starts the others. What a thread has held is released before its queue goes on.
    for replica in replicas {
      await withCheckedContinuation { continuation in
        replica.thread.async { continuation.resume() }
      }
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
  /// Throws if a sequence cannot be generated, the queue is full and this client waits with no less than all
  /// others, or the engine has ended. Errors that
  /// occur later end the iteration over the handle.
  public func submit(
    _ sequences: [GenerationRequest], stopSequences: [String] = [], client: String = ""
  ) throws(ServingError) -> RequestHandle {
    try submit(sequences, stopSequences: stopSequences, client: client, metrics: metrics)
  }

  /// Queues a request that no metrics count.
  package func rehearse(
    _ sequences: [GenerationRequest], stopSequences: [String]
  ) throws(ServingError) -> RequestHandle {
    try submit(
      sequences, stopSequences: stopSequences, client: "",
      metrics: EngineMetrics(replicas: replicas.count))
  }

  private func submit(
    _ sequences: [GenerationRequest], stopSequences: [String], client: String,
    metrics: EngineMetrics
  ) throws(ServingError) -> RequestHandle {
    let (request, handle) = RequestState.make(
      sequences: sequences.count, timeLimit: settings.timeLimit, metrics: metrics)
    // Here, and not on the thread that steps wait for.
    let stops = StopAutomaton(stopSequences)
    var queued: [QueuedSequence] = []
    var prefixes: [Int] = []
    for (index, var generation) in sequences.enumerated() {
      try check(generation)
      if replicas.count > 1, index == 0 || generation.prompt != sequences[index - 1].prompt {
        prefixes = Placement.prefixes(of: generation.prompt, blockSize: cacheBlockSize)
      }
      // The last token is generated but not read.
      generation.maxTokens = min(
        generation.maxTokens, contextLength + 1 - generation.prompt.count)
      queued.append(
        QueuedSequence(
          request: request, index: index, generation: generation, stops: stops,
          prefixes: prefixes))
    }
    guard !queued.isEmpty else {
      handle.cancel()
      return handle
    }
    let error: ServingError? = queue.withLock { queue in
      if let refusal = queue.refusal { return refusal }
      queue.requests.removeEnded(at: .now)
      if queue.requests.count >= max(1, settings.maxQueued) {
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
    wakeAll()
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
}
