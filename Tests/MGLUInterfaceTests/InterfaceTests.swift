import CMGLUInterface
import MGLU
import MGLUInterface
import Testing

/// What a function returned, and its line.
private struct Outcome {
  let code: Int32
  let line: String

  init(_ call: (UnsafeMutablePointer<mglu_error>) -> Int32) {
    var error = mglu_error()
    code = call(&error)
    line = withUnsafeBytes(of: error.message) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

/// A context of the processor, for as long as the test that has it.
private final class ProcessorContext {
  let pointer: OpaquePointer

  init(threads: Int32 = 2) throws {
    var options = mglu_context_options()
    options.size = Int64(MemoryLayout<mglu_context_options>.size)
    (options.device, options.threads) = (-1, threads)
    var pointer: OpaquePointer?
    #expect(mglu_context_create(&options, &pointer, nil) == 0)
    self.pointer = try #require(pointer)
  }

  deinit { mglu_context_destroy(pointer) }
}

private func makeUnit(
  _ kind: Int, rows: Int, columns: Int, masks: Int, type: Int = MGLU_FLOAT32
) -> mglu_unit {
  mglu_unit(
    size: Int64(MemoryLayout<mglu_unit>.size), rows: Int64(rows), columns: Int64(columns),
    kind: Int32(kind), masks: Int32(masks), activation: Int32(MGLU_SILU), type: Int32(type))
}

private func numbers(_ count: Int, seed: UInt64) -> [Float] {
  var random = Philox(seed: seed, purpose: .initialization, step: 0)
  return (0..<count).map { _ in random.nextNormal() }
}

@Suite struct InterfaceTests {
  @Test func theVersionIsThatOfTheHeader() { #expect(mglu_abi_version() == MGLU_ABI_VERSION) }

  @Test(arguments: [0, 1, 3, 16], [MGLU_FLOAT32, MGLU_BFLOAT16, MGLU_INT8])
  func aPassIsThatOfTheLayers(masks: Int, type: Int) throws {
    let (n, d, h) = (3, 24, 70)
    let kind = masks == 0 ? MGLU_GLU : MGLU_MGLU
    let planes = masks == 0 ? 2 : 1
    let (weights, x) = (numbers(planes * d * h, seed: 1), numbers(n * h, seed: 2))
    let bits = numbers(masks * d * ((h + 7) / 8), seed: 3).map {
      UInt8(truncatingIfNeeded: $0.bitPattern)
    }
    let context = try ProcessorContext()
    var unit = makeUnit(kind, rows: d, columns: h, masks: masks, type: type)
    var sizes = mglu_sizes()
    #expect(mglu_packed_sizes(context.pointer, &unit, &sizes, nil) == 0)
    let regions = [sizes.weights, sizes.scales, sizes.words].map {
      UnsafeMutableRawPointer.allocate(byteCount: Int($0) + 64, alignment: 64)
    }
    defer { for region in regions { region.deallocate() } }
    var packed = mglu_packed(weights: regions[0], scales: regions[1], words: regions[2])
    var output = [Float](repeating: .nan, count: n * d)
    weights.withUnsafeBufferPointer { weights in
      bits.withUnsafeBufferPointer { bits in
        x.withUnsafeBufferPointer { x in
          output.withUnsafeMutableBufferPointer { output in
            var source = mglu_source()
            source.size = Int64(MemoryLayout<mglu_source>.size)
            source.weights.0 = UnsafeRawPointer(weights.baseAddress)
            source.weights.1 = UnsafeRawPointer(weights.baseAddress! + (planes - 1) * d * h)
            source.masks = masks == 0 ? nil : bits.baseAddress
            #expect(Outcome { mglu_pack(context.pointer, &unit, &source, &packed, $0) }.line == "")
            var call = mglu_fused_linear_call()
            call.size = Int64(MemoryLayout<mglu_fused_linear_call>.size)
            (call.n, call.x) = (Int64(n), UnsafeRawPointer(x.baseAddress))
            call.output = UnsafeMutableRawPointer(output.baseAddress)
            #expect(
              Outcome { mglu_fused_linear(context.pointer, &unit, &packed, &call, $0) }.line == "")
          }
        }
      }
    }

    let backend = try CPUBackend(threads: 2)
    let matrices = backend.allocate { layout in
      (0..<planes).map { _ in layout.tensor([d, h]) }
    }
    for (plane, matrix) in matrices.enumerated() {
      matrix.assign(weights[plane * d * h..<(plane + 1) * d * h])
    }
    let (xs, words) = backend.allocate {
      ($0.tensor([n, h]), $0.tensor([max(masks, 1), d, (h + 7) / 8], .uint8))
    }
    xs.assign(x)
    words.bytes.copyBytes(from: bits)
    let layer = FusedFeedForward(
      FeedForwardConfiguration(
        hiddenSize: h, intermediateSize: d,
        unit: masks == 0 ? .glu : .mglu(MaskConfiguration(count: masks))),
      matrices: matrices.map { StoredMatrix(weights: $0) }, masks: masks == 0 ? nil : words,
      as: [.float32, .float16, .bfloat16, .int8][type], on: backend)
    #expect(try layer(xs, on: backend).array == output)
  }

  @Test func whatNoCallMayHaveIsRefused() throws {
    let context = try ProcessorContext()
    var sizes = mglu_sizes()
    func refused(_ change: (inout mglu_unit) -> Void) -> Outcome {
      var unit = makeUnit(MGLU_MGLU, rows: 8, columns: 8, masks: 2)
      change(&unit)
      return Outcome { mglu_packed_sizes(context.pointer, &unit, &sizes, $0) }
    }
    #expect(refused { _ in }.code == 0)
    let changes: [(inout mglu_unit) -> Void] = [
      { $0.size = 8 }, { $0.rows = 0 }, { $0.columns = -1 }, { $0.rows = .max }, { $0.kind = 6 },
      { $0.masks = 0 }, { $0.masks = 17 }, { $0.kind = 1 }, { $0.activation = 7 }, { $0.type = 4 },
      { ($0.rows, $0.columns) = (1 << 30, 1 << 30) },
    ]
    for change in changes {
      let outcome = refused(change)
      #expect(outcome.code == MGLU_INVALID_ARGUMENT && !outcome.line.isEmpty)
    }
    var unit = makeUnit(MGLU_MGLU, rows: 8, columns: 8, masks: 2)
    #expect(mglu_packed_sizes(nil, &unit, &sizes, nil) == MGLU_INVALID_ARGUMENT)
    #expect(mglu_packed_sizes(context.pointer, nil, &sizes, nil) == MGLU_INVALID_ARGUMENT)
    var call = mglu_fused_linear_call()
    #expect(Outcome { mglu_fused_linear(context.pointer, &unit, nil, &call, $0) }.code != 0)
    call.size = Int64(MemoryLayout<mglu_fused_linear_call>.size)
    call.n = 1
    var packed = mglu_packed()
    #expect(
      Outcome { mglu_fused_linear(context.pointer, &unit, &packed, &call, $0) }.line.contains(
        "NULL"))
    #expect(mglu_stack(context.pointer, 2, 8, nil, nil, nil, nil, nil) == MGLU_INVALID_ARGUMENT)
    #expect(mglu_route(context.pointer, 1, 4, 5, nil, nil, nil, nil) == MGLU_INVALID_ARGUMENT)
  }

  @Test func aDeviceThatIsNotThereIsSaid() {
    var options = mglu_context_options()
    options.size = Int64(MemoryLayout<mglu_context_options>.size)
    var context: OpaquePointer?
    options.device = 99
    #expect(Outcome { mglu_context_create(&options, &context, $0) }.code == MGLU_DEVICE_ERROR)
    (options.device, options.threads) = (-1, 2000)
    #expect(Outcome { mglu_context_create(&options, &context, $0) }.code == MGLU_INVALID_ARGUMENT)
    #expect(context == nil)
  }
}
