/// What every backend has: memory, the order of operations, and what benchmarks measure. What it
/// computes is in the protocols over it, ``InferenceBackend`` and ``TrainingBackend``, of which a
/// backend has one or both.
///
/// An operation is enqueued and may complete later; reading a result through ``Tensor`` on the
/// host is defined after ``synchronize()``. One thread at a time may drive a backend, unless it says that
/// several may, as ``CPUBackend`` does. What fails on a device, memory that it lacks included, is thrown by
/// ``finish()``.
public protocol Backend: AnyObject, Sendable {
  // Description ----------------------------------------------------------------------------------

  /// What computes, in words: processor, instruction set, threads, BLAS.
  var summary: String { get }
  /// What the user should know, such as a missing library and its remedy.
  var warnings: [String] { get }
  /// What the kernels are compiled for: an instruction set, or the generation of a GPU.
  var kernelSet: String { get }
  /// The CPU of this machine: it reads files and converts matrices for every backend.
  var host: CPUBackend { get }
  /// Another backend of the same kind on the same device and the same host, without the failures of
  /// this one.
  func fresh() throws(BackendError) -> Self
  /// One backend for each set of kernels that this machine can run; this one where there is one set.
  func variants() throws(BackendError) -> [Self]

  // Memory ---------------------------------------------------------------------------------------

  /// The memory of the device in bytes, or `nil` where it computes in the host's.
  var deviceMemory: (free: Int, total: Int)? { get }
  /// Allocates zeroed memory for what `describe` lays out, and returns the description's result over
  /// that memory. Its tensors own the memory (``Tensor/arena``). `describe` runs twice, first to measure: it
  /// must not read or write elements, and nothing else that it does may depend on how often it runs.
  func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result
  /// Allocates zeroed memory that this machine, too, reads and writes: tokens in, logits out.
  func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result
  /// The elements of a tensor of the host where this backend computes: the same tensor, or a copy.
  func toDevice(_ tensor: Tensor) -> Tensor
  /// Sets every element to zero.
  func clear(_ tensor: Tensor)
  /// Copies the elements of `source` to `target`, which has the same size; either may be the
  /// host's.
  func copy(_ source: Tensor, into target: Tensor)

  // Order of operations --------------------------------------------------------------------------

  /// Waits for every operation enqueued so far.
  func synchronize()
  /// Waits for every operation enqueued so far, and throws the first failure among them. After a
  /// failure nothing more is computed.
  func finish() throws(BackendError)
  /// Remembers the operations of `body`, and returns what computes them: each time anew, on the same
  /// tensors.
  func capture(_ body: @escaping () -> Void) -> () -> Void

  /// Makes ready what the operations of `body` need that takes long, such as compiled kernels, without
  /// computing them.
  ///
  /// - Parameters:
  ///   - progress: Receives how much is ready, of how much, on any thread.
  ///   - isCancelled: Whether the rest need not be made ready; asked now and then, on any thread.
  ///   - body: Calls operations on tensors of this backend, and waits for none.
  func prepare(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool, _ body: () -> Void)

  // Biases and routing, which inference and training share ----------------------------------------

  /// Adds a bias `[width]`, float32, to every row of x `[n, width]`, which is float32 or of the type of
  /// a product.
  func addBias(_ bias: Tensor, to x: Tensor)

  /// routes = softmax over the `topK` largest logits of each row `[n, m]`, 0 elsewhere; of equal
  /// logits the lower index counts as larger.
  func route(_ logits: Tensor, topK: Int, into routes: Tensor)

  // Several ranks --------------------------------------------------------------------------------

  /// What moves this backend's tensors between the ranks of `group`. All ranks must call it.
  func communicator(of group: RankGroup) throws(CommunicationError) -> any Communicator

  /// y `[n]` = ((x[0] + x[1]) + x[2]) + ... of x `[r, n]`, float32, or y plus the rows in turn where it
  /// `accumulates`. y may be none of the rows.
  func addRows(_ x: Tensor, into y: Tensor, accumulates: Bool)

  // Measuring ------------------------------------------------------------------------------------

  /// What benchmarks must know of the device.
  var benchmarkTraits: BenchmarkTraits { get }
  /// Whether an operation may start before the one ahead of it is done, where the device can do
  /// that: a benchmark of calls that are unrelated turns it off.
  var startsEarly: Bool { get set }
  /// Reads all bytes of `tensors` and keeps nothing of them: the bound that memory sets.
  func read(_ tensors: [Tensor])
  /// How long the operations take that `body` enqueues, measured where they are computed.
  func time(_ body: () -> Void) throws(BackendError) -> Duration
}

/// What benchmarks must know of a device.
public struct BenchmarkTraits: Sendable {
  /// Bytes that the last cache certainly does not hold.
  public let coldByteCount: Int
  /// How many calls are captured and timed together, so that enqueueing them does not count.
  public let callsPerRound: Int
  /// Bytes to read for the bandwidth, where a matrix alone is read too fast to be timed; else `nil`.
  public let probeByteCount: Int?

  /// Traits; by default those of a device that computes each call before it returns.
  public init(coldByteCount: Int = 512 << 20, callsPerRound: Int = 1, probeByteCount: Int? = nil) {
    self.coldByteCount = coldByteCount
    self.callsPerRound = callsPerRound
    self.probeByteCount = probeByteCount
  }
}

// What a backend need not implement.
extension Backend {
  public var warnings: [String] { [] }

  public func variants() throws(BackendError) -> [Self] { [self] }

  public var deviceMemory: (free: Int, total: Int)? { nil }

  public func synchronize() { try? finish() }

  public func capture(_ body: @escaping () -> Void) -> () -> Void { body }

  public func prepare(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool, _ body: () -> Void
  ) {}

  /// Makes ready what the operations of `body` need; see ``prepare(progress:isCancelled:_:)``.
  public func prepare(_ body: () -> Void) {
    prepare(progress: { _, _ in }, isCancelled: { false }, body)
  }

  public func communicator(of group: RankGroup) throws(CommunicationError) -> any Communicator {
    try SocketCommunicator(group)
  }

  public var benchmarkTraits: BenchmarkTraits { BenchmarkTraits() }

  public var startsEarly: Bool {
    get { false }
    set {}
  }

  public func time(_ body: () -> Void) throws(BackendError) -> Duration {
    try finish()
    let start = ContinuousClock.now
    body()
    try finish()
    return ContinuousClock.now - start
  }
}

extension Backend {
  /// This backend's operations of inference, or `nil` where it has none.
  public var inference: (any InferenceBackend)? { self as? any InferenceBackend }

  /// This backend's operations of training, or `nil` where it has none.
  public var training: (any TrainingBackend)? { self as? any TrainingBackend }

  /// This backend's operations of inference.
  ///
  /// - Throws: ``BackendProblem/operation`` where it has none.
  public func requireInference() throws(BackendError) -> any InferenceBackend {
    guard let inference else { throw lacks("inference") }
    return inference
  }

  /// This backend's operations of training.
  ///
  /// - Throws: ``BackendProblem/operation`` where it has none.
  public func requireTraining() throws(BackendError) -> any TrainingBackend {
    guard let training else { throw lacks("training") }
    return training
  }

  private func lacks(_ operations: String) -> BackendError {
    BackendError(
      .operation, "\(summary): a device without operations of \(operations)",
      remedy: "use the CPU, or another device that has them")
  }

  /// The elements of a tensor where this machine can read them, once all that was enqueued is done:
  /// the same tensor, or a copy.
  public func onHost(_ tensor: Tensor) -> Tensor {
    var result = tensor
    if !tensor.arena.isHostVisible {
      result = host.allocate { $0.tensor(tensor.shape, tensor.dataType) }
      copy(tensor, into: result)
    }
    synchronize()
    return result
  }
}
