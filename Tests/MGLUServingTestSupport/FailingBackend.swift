import Dispatch
package import MGLUServing
import Synchronization

/// A CPU that fails when it is told to, and compiles nothing until it is allowed to.
package final class FailingBackend: InferenceBackend {
  package let host: CPUBackend
  package let isAsynchronous: Bool
  package let deviceMemory: (free: Int, total: Int)?
  private let hasFailed = Atomic(false)
  private let compilation = DispatchSemaphore(value: 0)

  /// A backend of one thread; one that compiles is asynchronous.
  package init(compiles: Bool = false, memory: (free: Int, total: Int)? = nil) throws {
    deviceMemory = memory
    host = try CPUBackend(threads: 1)
    isAsynchronous = compiles
  }

  /// Lets what is computed from now on fail.
  package func fail() { hasFailed.store(true, ordering: .relaxed) }

  /// Ends the compilation.
  package func compile() { compilation.signal() }

  package func finish() throws(BackendError) {
    if hasFailed.load(ordering: .relaxed) { throw BackendError(.device, "out of order") }
    try host.finish()
  }

  package func prepare(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool, _ body: () -> Void
  ) {
    compilation.wait()
  }

  package var summary: String { "a device of tests" }
  package var kernelSet: String { host.kernelSet }
  package var weightTypes: [WeightType] { host.weightTypes }
  package var cacheBlockSize: Int { host.cacheBlockSize }

  package func fresh() throws(BackendError) -> FailingBackend {
    throw BackendError(.device, "out of order")
  }
  package func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result { try host.allocate(describe) }
  package func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result { try host.allocateShared(describe) }
  package func toDevice(_ tensor: Tensor) -> Tensor { tensor }
  package func clear(_ tensor: Tensor) { host.clear(tensor) }
  package func copy(_ source: Tensor, into target: Tensor) { host.copy(source, into: target) }
  package func read(_ tensors: [Tensor]) { host.read(tensors) }
  package func addBias(_ bias: Tensor, to x: Tensor) { host.addBias(bias, to: x) }
  package func route(_ logits: Tensor, topK: Int, into routes: Tensor) {
    host.route(logits, topK: topK, into: routes)
  }
  package func addRows(_ x: Tensor, into y: Tensor, accumulates: Bool) {
    host.addRows(x, into: y, accumulates: accumulates)
  }

  package func pack(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> PackedWeights {
    host.pack(planes, masks: masks, gating: gating, activation: activation, as: type)
  }
  package func projection(
    stacking matrices: [StoredMatrix], as type: WeightType
  ) -> PackedWeights { host.projection(stacking: matrices, as: type) }
  package func fusedLinear(
    _ weights: PackedWeights, _ x: Tensor, norm: RMSNorm?, routes: Tensor?, promptRows: Int,
    precision: InputPrecision, accumulate: Bool, orders: ColumnOrders, into output: Tensor
  ) {
    host.fusedLinear(
      weights, x, norm: norm, routes: routes, promptRows: promptRows, precision: precision,
      accumulate: accumulate, orders: orders, into: output)
  }
  package func embed(_ tokens: Tensor, table: PackedWeights, into x: Tensor) {
    host.embed(tokens, table: table, into: x)
  }
  package func rmsNormInPlace(_ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float) {
    host.rmsNormInPlace(x, parts: parts, weight: weight, epsilon: epsilon)
  }
  package func attention(
    _ qkv: Tensor, shape: AttentionShape, rows: AttentionRows, table: RotaryTable,
    cache: KeyValueBlocks, orders: ColumnOrders, into output: Tensor
  ) {
    host.attention(
      qkv, shape: shape, rows: rows, table: table, cache: cache, orders: orders, into: output)
  }
  package func gather(_ source: Tensor, at indices: Tensor, into target: Tensor) {
    host.gather(source, at: indices, into: target)
  }
  package func adjust(
    _ logits: Tensor, vocabulary: Int, by adjustments: Tensor, starts: Tensor,
    into adjusted: Tensor
  ) {
    host.adjust(
      logits, vocabulary: vocabulary, by: adjustments, starts: starts, into: adjusted)
  }
  package func logprobs(
    _ logits: Tensor, vocabulary: Int, of targets: Tensor, into logprobs: Tensor, largest: Tensor
  ) {
    host.logprobs(
      logits, vocabulary: vocabulary, of: targets, into: logprobs, largest: largest)
  }
  package func sample(
    _ logits: Tensor, vocabulary: Int, by steps: Tensor, into tokens: Tensor,
    preparing next: NextRows?
  ) {
    host.sample(logits, vocabulary: vocabulary, by: steps, into: tokens, preparing: next)
  }
}
