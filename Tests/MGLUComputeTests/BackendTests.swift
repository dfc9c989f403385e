import MGLUCompute
import Testing

/// A backend that is neither of inference nor of training: what every backend has to implement.
private final class MemoryBackend: Backend {
  let host: CPUBackend

  init(host: CPUBackend) { self.host = host }

  var summary: String { "memory alone" }
  var kernelSet: String { host.kernelSet }
  func fresh() throws(BackendError) -> MemoryBackend { MemoryBackend(host: try host.fresh()) }
  func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result { try host.allocate(describe) }
  func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result { try host.allocate(describe) }
  func toDevice(_ tensor: Tensor) -> Tensor { tensor }
  func clear(_ tensor: Tensor) { host.clear(tensor) }
  func copy(_ source: Tensor, into target: Tensor) { host.copy(source, into: target) }
  func finish() throws(BackendError) { try host.finish() }
  func addBias(_ bias: Tensor, to x: Tensor) {}
  func route(_ logits: Tensor, topK: Int, into routes: Tensor) {
    host.route(logits, topK: topK, into: routes)
  }
  func addRows(_ x: Tensor, into y: Tensor, accumulates: Bool) {
    host.addRows(x, into: y, accumulates: accumulates)
  }
  func read(_ tensors: [Tensor]) { host.read(tensors) }
}

@Suite struct BackendTests {
  @Test func whatABackendLacksIsAnErrorThatSaysSo() throws {
    let host = try CPUBackend(threads: 1)
    let backend: any Backend = MemoryBackend(host: host)
    #expect(backend.inference == nil && backend.training == nil)
    for body: () throws -> Void in [
      { _ = try backend.requireInference() }, { _ = try backend.requireTraining() },
    ] {
      let error = #expect(throws: BackendError.self) { try body() }
      #expect(error?.code == .operation && error?.message.contains("memory alone") == true)
    }
    #expect(host.inference === host && host.training === host)
    #expect(try Device.cpu.trainingBackend(host: host) === host)
  }

  /// The defaults are those of a device that computes each call before it returns.
  @Test func defaultsComputeAtOnce() throws {
    let backend = MemoryBackend(host: try CPUBackend(threads: 1))
    let (a, b) = backend.allocate { ($0.tensor([3]), $0.tensor([3])) }
    a.assign([1, 2, 3])
    let copies = backend.capture { backend.copy(a, into: b) }
    #expect(b.array == [0, 0, 0])
    #expect(try backend.time(copies) > .zero)
    #expect(b.array == [1, 2, 3])
    #expect(try backend.variants().first === backend && backend.deviceMemory == nil)
    #expect(backend.benchmarkTraits.callsPerRound == 1)
  }

  @Test func variantsAreTheInstructionSets() throws {
    let backend = try CPUBackend(threads: 2)
    let variants = try backend.variants()
    #expect(variants.map(\.kernelSet) == CPUBackend.instructionSets)
    #expect(variants.allSatisfy { $0.threadCount == 2 })
    let last = try #require(variants.last)
    let fresh = try last.fresh()
    #expect(fresh !== last && fresh.kernelSet == last.kernelSet)
  }

  /// Weights of one backend mean nothing to another.
  @Test func packedWeightsTellWhatAPassReads() throws {
    let backend = try CPUBackend(threads: 1)
    let (w, masks) = backend.allocate { ($0.tensor([5, 70]), $0.tensor([2, 5, 9], .uint8)) }
    let packed = backend.pack(
      [StoredMatrix(weights: w)], masks: masks, gating: .masked(count: 2, ablation: nil),
      activation: .silu, as: .float32)
    // Two words of 64 bits for each row and mask.
    #expect(packed.byteCount == 4 * 5 * 70 + 8 * 5 * 2 * 2)
    #expect(packed.storage.matrices.map(\.shape) == [[5, 70]])
    let stacked = backend.projection(
      stacking: [StoredMatrix(weights: w), StoredMatrix(weights: w)], as: .int8)
    #expect(stacked.rows == 10 && stacked.columns == 70 && stacked.type == .int8)
  }
}
