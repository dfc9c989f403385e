import MGLUCompute
import Testing

private let hasHopper =
  (try? CUDADevice.all.first.map(FusedLinearPromptVariant.isAvailable)) == true

/// Projections of prompts that add to their output, on a GPU that has fused_linear_prompt.cu.
@Suite(.enabled(if: hasHopper, "this machine has no GPU of compute capability 9.0"), .serialized)
struct CUDAPromptTests {
  /// A row's bits are those that it has alone, among few rows, whose segments blocks take side by side,
  /// and among many.
  @Test(arguments: InputPrecision.allCases)
  func segmentsAddUpToTheSameBits(precision: InputPrecision) throws {
    let host = try CPUBackend(threads: 2)
    let backend = try CUDABackend(CUDADevice.find(ordinal: 0), host: host)
    let (rows, columns, count) = (2070, 8200, 700)
    var random = Philox(seed: 3, purpose: .synthetic)
    func tensor(_ shape: [Int], scale: Float = 1) -> Tensor {
      let tensor = host.allocate { $0.tensor(shape) }
      tensor.assign((0..<tensor.count).map { _ in random.nextNormal() * scale })
      return tensor
    }
    let matrix = StoredMatrix(weights: tensor([rows, columns], scale: 0.01))
    let weights = backend.projection(matrix, as: .float16)
    let (x, before) = (tensor([count, columns]), tensor([count, rows]))
    let input = backend.toDevice(x)
    func result(_ range: Range<Int>, promptRows: Int) throws -> [Float] {
      let output = backend.allocateShared { $0.tensor([range.count, rows]) }
      backend.copy(before[range], into: output)
      backend.fusedLinear(
        weights, input[range], promptRows: promptRows, precision: precision, accumulate: true,
        into: output)
      try backend.finish()
      return output.array
    }
    let all = try result(0..<count, promptRows: count)
    for range in [0..<1, 5..<13, 100..<300, 699..<700] {
      let some = try result(range, promptRows: range.count)
      #expect(some == Array(all[range.lowerBound * rows..<range.upperBound * rows]), "\(range)")
    }
    // Beside rows that decode, which are near.
    let mixed = try result(0..<20, promptRows: 12)
    #expect(mixed[(8 * rows)...] == all[8 * rows..<20 * rows])
    let bound: Float = precision == .exact ? 2e-4 : 2e-2
    #expect(zip(mixed, all).prefix(8 * rows).allSatisfy { abs($0 - $1) < bound })
  }

  /// What a unit leaves interleaved is what it leaves plain, in that order, and a projection makes the same
  /// of both.
  @Test(arguments: [0, 1, 4, 8]) func interleavedRowsHaveTheSameBits(masks: Int) throws {
    let host = try CPUBackend(threads: 2)
    let backend = try CUDABackend(CUDADevice.find(ordinal: 0), host: host)
    let (hidden, width, rows, count) = (136, 192, 80, 300)
    var random = Philox(seed: 4, purpose: .synthetic)
    func tensor(_ shape: [Int]) -> Tensor {
      let tensor = host.allocate { $0.tensor(shape) }
      tensor.assign((0..<tensor.count).map { _ in random.nextNormal() / 8 })
      return tensor
    }
    let bits = host.allocate { $0.tensor([max(1, masks), width, (hidden + 7) / 8], .uint8) }
    for index in bits.bytes.indices { bits.bytes[index] = UInt8(truncatingIfNeeded: index &* 89) }
    let matrices = (0..<(masks == 0 ? 2 : 1)).map { _ in
      StoredMatrix(weights: tensor([width, hidden]))
    }
    let unit = backend.pack(
      matrices, masks: masks == 0 ? nil : bits,
      gating: masks == 0 ? .gated : .masked(count: masks, ablation: nil), activation: .silu,
      as: .float16)
    let projection = backend.projection(StoredMatrix(weights: tensor([rows, width])), as: .float16)
    let norm = RMSNorm(weight: backend.toDevice(tensor([hidden])), epsilon: 1e-5)
    let input = backend.toDevice(tensor([count, hidden]))
    let orders = backend.columnOrders(
      decodeRows: 0, width: width, headSize: nil, weights: .float16, precision: .reduced)
    try #require(orders.prompts == .interleaved)
    func compute(_ orders: ColumnOrders) throws -> (intermediate: [UInt16], output: [Float]) {
      let intermediate = backend.allocate { $0.tensor([count, width], .float16) }
      let copied = backend.allocateShared { $0.tensor([count, width], .float16) }
      let output = backend.allocateShared { $0.tensor([count, rows]) }
      backend.fusedLinear(
        unit, input, norm: norm, promptRows: count, precision: .reduced, orders: orders,
        into: intermediate)
      backend.fusedLinear(
        projection, intermediate, promptRows: count, precision: .reduced, orders: orders,
        into: output)
      backend.copy(intermediate, into: copied)
      try backend.finish()
      return (Array(copied.bytes.bindMemory(to: UInt16.self)), output.array)
    }
    let (plain, interleaved) = (try compute(.plain), try compute(orders))
    let places = plain.intermediate.indices.map { index in
      let column = index % 32
      return index - column + column % 8 / 2 * 8 + column / 8 * 2 + column % 2
    }
    #expect(plain.intermediate == places.map { interleaved.intermediate[$0] })
    #expect(plain.output == interleaved.output && plain.output.contains { $0 != 0 })
  }
}
