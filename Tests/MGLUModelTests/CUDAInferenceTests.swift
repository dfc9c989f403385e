import MGLUModel
import MGLUReference
import Testing

private let hasGPU = (try? CUDADevice.all.isEmpty) == false

/// Inference on a GPU: every operation against float64, whole models against the CPU.
@Suite(.enabled(if: hasGPU, "this machine has no NVIDIA GPU"), .serialized)
struct CUDAInferenceTests {
  let backend: CUDABackend

  init() throws {
    backend = try CUDABackend(CUDADevice.find(ordinal: 0), host: CPUBackend(threads: 2))
  }

  private func expect(_ findings: [Finding]) {
    for finding in findings {
      #expect(
        finding.isWithin,
        """
        \(finding.kernel), \(finding.weights), \(finding.activations): \(finding.worstError) of \
        \(finding.bound) at \(finding.worstCase)
        """)
    }
  }

  @Test(arguments: [WeightType.float32, .float16, .bfloat16])
  func unitsAgreeWithTheReference(type: WeightType) throws {
    expect(try Verification(on: backend).inferenceUnits(type))
  }

  @Test func decodersAgreeWithTheReference() throws {
    expect(try Verification(on: backend).models())
  }

  @Test func attentionAgreesWithTheReference() throws {
    expect(try Verification(on: backend).attention())
  }

  @Test func choicesAgreeWithTheReference() throws {
    let verification = Verification(on: backend)
    expect([
      try verification.routes(), try verification.largestTokens(),
      try verification.drawnTokens(), try verification.adjustedLogits(),
      try verification.logprobs(),
    ])
  }

  /// h, d and attention: one that goes through operation by operation, one whose layers are a kernel
  /// where the GPU has that.
  static let shapes = [
    (h: 72, d: 200, attention: AttentionShape(heads: 6, kvHeads: 3, headSize: 16)),
    (h: 512, d: 1024, attention: AttentionShape(heads: 8, kvHeads: 4, headSize: 64)),
  ]

  static let units: [FeedForwardUnitKind] = [
    .glu, .mglu(.init(count: 4)), .mglu(.init(count: 3, routerTopK: 2)),
  ]

  /// A prompt of several passes, then single tokens from the recorded step: logits as the CPU's to
  /// the accuracy of each, and the same tokens chosen.
  @Test(arguments: units, shapes.indices)
  func modelsWriteWhatTheCPUWrites(unit: FeedForwardUnitKind, index: Int) throws {
    let shape = Self.shapes[index]
    let model = try LanguageModel.drawn(
      ModelConfiguration(
        vocabularySize: 301, layers: 2, attention: shape.attention,
        feedForward: .init(hiddenSize: shape.h, intermediateSize: shape.d, unit: unit),
        contextLength: 420), on: backend.host)
    let tokens = (0..<400).map { Int32($0 * $0 % 301) }
    for type in [WeightType.float32, .float16, .bfloat16] {
      func session(_ backend: any InferenceBackend) throws -> InferenceSession {
        try InferenceSession(
          InferenceModel(model.configuration, from: model, weights: type, on: backend))
      }
      let (ours, theirs) = (try session(backend), try session(backend.host))
      let (own, other) = (try ours.open(), try theirs.open())
      var position = 0
      for count in [390, 1, 1, 1, 7] {
        let piece = tokens[position..<position + count]
        position += count
        let expected = ReferenceMatrix(try theirs.append(piece, to: other))
        // Both are within 1e-5 of float64.
        let error = relativeError(ReferenceMatrix(try ours.append(piece, to: own)), expected)
        #expect(error < 2e-5, "\(type), position \(position): \(error)")
      }
      ours.remove(own)
      theirs.remove(other)
      let request = GenerationRequest(
        prompt: Array(tokens.prefix(390)), maxTokens: 5, ignoresEOS: true)
      let ids = [try ours.insert(request), try theirs.insert(request)]
      let (written, expected) = (
        try InferenceSessionTests.outputs(ours), try InferenceSessionTests.outputs(theirs)
      )
      #expect(written[ids[0]]?.map(\.token) == expected[ids[1]]?.map(\.token), "\(type)")
    }
  }

  /// A captured step does what its operations do one by one, each time anew on what the tensors hold.
  @Test(arguments: [InputPrecision.exact, .reduced])
  func capturedStepsComputeWhatTheirOperationsCompute(precision: InputPrecision) throws {
    let shape = AttentionShape(heads: 4, kvHeads: 2, headSize: 16)
    let synthetic = SyntheticUnit(
      .init(
        hiddenSize: 64, intermediateSize: shape.rowWidth, unit: .mglu(.init(count: 3)),
        activation: .silu), rows: 2)
    let (unit, _) = synthetic.inferenceUnit(as: .float16, on: backend)
    let table = backend.host.allocate {
      RotaryTable(positions: 320, rotarySize: shape.rotarySize, in: &$0)
    }
    table.fill(theta: 10_000)
    let rotary = table.toDevice(on: backend)
    let blocks = (320 + backend.cacheBlockSize - 1) / backend.cacheBlockSize
    let (x, positions, slots, tables, output) = backend.allocateShared { layout in
      (
        layout.tensor([1, 64]), layout.tensor([1], .int32), layout.tensor([1], .int32),
        layout.tensor([1, blocks], .int32), layout.tensor([1, shape.queryWidth])
      )
    }
    tables.assign(integers: (0..<Int32(blocks)).reversed())
    let (residual, a, cache) = backend.allocate { layout in
      (
        layout.tensor([1, 64]),
        InferenceActivations(
          intermediateSize: shape.rowWidth, routedMasks: nil, rows: 1, in: &layout),
        KeyValueBlocks(
          shape, blocks: blocks, blockSize: backend.cacheBlockSize, type: .float32, in: &layout)
      )
    }
    let step = { [backend] in
      backend.copy(x, into: residual)
      unit.forward(residual, precision: precision, into: a, on: backend)
      backend.attention(
        a.output, shape: shape,
        rows: AttentionRows(
          positions: positions, slots: slots, blockTables: tables, decodeRows: 1),
        table: rotary, cache: cache, orders: .plain, into: output)
    }
    func results(_ step: () -> Void) throws -> [[Float]] {
      backend.clear(cache.keys)
      backend.clear(cache.values)
      return try (0..<300).map { position in
        x.assign(synthetic.input.rows(position % 2..<position % 2 + 1).floats)
        positions.assign(integers: [Int32(position)])
        step()
        try backend.finish()
        return output.array
      }
    }
    // Recorded first, so that nothing it needs is there already.
    let recorded = backend.capture(step)
    let replayed = try results(recorded)
    #expect(try results(step) == replayed)
    #expect(Set(replayed).count == 300)
  }

  /// What does not fit is told once, with figures; nothing after it traps.
  @Test func moreMemoryThanThereIsEndsInAnError() throws {
    let bytes = 2 * backend.context.device.memoryByteCount
    let huge = backend.allocate { $0.tensor([bytes / 4]) }
    let error = #expect(throws: BackendError.self) { try backend.finish() }
    #expect(error?.code == .memory)
    #expect(error?.message.contains("were asked for") == true, "\(String(describing: error))")
    #expect(error?.message.contains("are free") == true)
    backend.clear(huge)
    let synthetic = SyntheticUnit(
      .init(hiddenSize: 65, intermediateSize: 17, unit: .mglu(.init(count: 2))), rows: 3)
    for type in backend.weightTypes {
      let (unit, _) = synthetic.inferenceUnit(as: type, on: backend)
      let x = backend.host.allocate { $0.tensor([3, 65]) }
      #expect(throws: BackendError.self) { try unit(x, on: backend) }
    }
    backend.capture { backend.clear(huge) }()
    #expect(throws: BackendError.self) { try backend.finish() }
    // Another backend on the same GPU is not concerned.
    let other = try CUDABackend(backend.context.device, host: backend.host)
    let (unit, reference) = synthetic.inferenceUnit(as: .float16, on: other)
    let x = backend.host.allocate { $0.tensor([3, 65]) }
    x.assign(synthetic.input.floats)
    let a = ReferenceMatrix(try unit(x, on: other))
    #expect(relativeError(a, reference(synthetic.input)) < 1e-5)
  }
}
