import MGLUModel
import Testing

@Suite struct MaskedFromGatedTests {
  /// No choice of a weight on a grid and of a mask is nearer; with one mask the larger is kept.
  @Test(arguments: [1, 2, 3, 5]) func elementsAreTheNearest(masks: Int) {
    for (g, v) in [(1.0, 0.5), (0.2, -0.9), (-0.7, -0.7), (0.0, 0.3), (0.4, 0.0), (0.0, 0.0)] {
      let best = MaskedElement.best(gate: g, value: v, masks: masks)
      if masks == 1 {
        #expect(best.weight == (abs(g) > abs(v) ? g : v) && best.ones == (abs(g) > abs(v) ? 1 : 0))
      }
      for bits in 0..<(1 << masks) {
        let pattern = (0..<masks).map { Double(bits >> $0 & 1) }
        for w in stride(from: -2.0, through: 2.0, by: 0.01) {
          let gates = pattern.map { ($0 * w - g) * ($0 * w - g) }.reduce(0, +)
          let value = pattern.map { (1 - $0) * w }.reduce(-v, +)
          #expect(gates + value * value >= best.error - 1e-12)
        }
      }
    }
  }

  /// A GLU whose gate and value never meet in an element is an MGLU of one mask already.
  @Test func disjointMatricesAreKeptExactly() throws {
    let glu = try LlamaExportTests.model(.glu)
    for layer in glu.weights.layers {
      let matrices = layer.unit.matrices
      for index in 0..<matrices[0].count { matrices[index % 3 == 0 ? 0 : 1].floats[index] = 0 }
    }
    let (masked, errors) = try glu.maskedFromGated(masks: 1)
    #expect(errors == [0, 0, 0])
    #expect(masked.configuration.feedForward.unit == .mglu(.init(count: 1)))
    let (a, b) = (glu.logits(LlamaExportTests.tokens), masked.logits(LlamaExportTests.tokens))
    #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(throws: CheckpointError.self) { try masked.maskedFromGated(masks: 2) }
    #expect(throws: CheckpointError.self) { try glu.maskedFromGated(masks: 17) }
  }
}
