import MGLUModel

/// The operations of training beside products and units.
extension Verification {
  var modelOperations: [() -> Finding] {
    [
      embeddings, biases, norms, normsOfParts, rotations, attentionForward, attentionBackward,
      losses,
      distillations,
      optimizerSteps, squares, conversions, differences,
    ]
  }

  private func embeddings() -> Finding {
    trainingFinding("embedding") { twins, finding in
      // More tokens than a pass of the gradient takes, more words than it has blocks, columns beyond
      // a block's; one word is every third token.
      for (vocabulary, width, count) in [
        (5, 1, 3), (1100, 37, 5000), (1100, 40, 5000), (7, 808, 71),
      ] {
        let name = "\(count) of \(vocabulary) x \(width)"
        let tokens = twins.integers(
          (0..<count).map { Int32($0 % 3 == 0 ? 2 : $0 * 7919 % vocabulary) })
        let table = twins.normal([vocabulary, width], twins.narrow)
        let x = twins.output([count, width], twins.narrow)
        twins.compute { on in on.backend.embed(on[tokens], table: on[table], into: on[x]) }
        try twins.compare(x, in: &finding, name)

        let upstream = twins.normal([count, width], twins.narrow)
        let gradient = twins.normal([vocabulary, width])
        twins.compute { on in
          on.backend.embedBackward(on[upstream], tokens: on[tokens], tableGradient: on[gradient])
        }
        try twins.compare(gradient, in: &finding, name + ", backward")
      }
    }
  }

  private func biases() -> Finding {
    trainingFinding("bias") { twins, finding in
      // Rows in one round of blocks and in several, columns of a block and beyond.
      for (rows, width) in [(1, 1), (5, 37), (2100, 40), (1030, 23), (3, 8203), (2, 8264)] {
        let name = "\(rows) x \(width)"
        let x = twins.normal([rows, width], twins.narrow)
        let bias = twins.normal([width])
        twins.compute { on in on.backend.addBias(on[bias], to: on[x]) }
        try twins.compare(x, roundings: 1, in: &finding, name)

        let upstream = twins.normal([rows, width], twins.narrow)
        let gradient = twins.normal([width])
        twins.compute { on in
          on.backend.addBiasBackward(on[upstream], biasGradient: on[gradient])
        }
        try twins.compare(gradient, in: &finding, name + ", backward")
      }
    }
  }

  private func norms() -> Finding {
    trainingFinding("norm") { twins, finding in
      // Rows in one round of a block and in two; rows in one round of blocks and in several.
      for (rows, width) in [(1, 1), (5, 37), (2100, 40), (1030, 23), (3, 8203), (2, 8264)] {
        let name = "\(rows) x \(width)"
        let x = twins.normal([rows, width], twins.narrow)
        let weight = twins.normal([width])
        let y = twins.output([rows, width], twins.narrow)
        let inverse = twins.output([rows])
        twins.compute { on in
          on.backend.rmsNorm(
            on[x], weight: on[weight], epsilon: 1e-5, into: on[y], inverseRMS: on[inverse])
        }
        try twins.compare(y, roundings: 1, in: &finding, name)
        try twins.compare(inverse, in: &finding, name + ", inverse RMS")

        let upstream = twins.normal([rows, width], twins.narrow)
        let dX = twins.normal([rows, width], twins.narrow)
        let dWeight = twins.normal([width])
        twins.compute { on in
          on.backend.rmsNormBackward(
            on[upstream], x: on[x], weight: on[weight], inverseRMS: on[inverse],
            xGradient: on[dX], weightGradient: on[dWeight])
        }
        try twins.compare(dX, roundings: 1, in: &finding, name + ", dX")
        try twins.compare(dWeight, in: &finding, name + ", dW")
      }
    }
  }

  /// Norms of parts of rows: what lies beside the parts stays as it is, forward and backward.
  private func normsOfParts() -> Finding {
    trainingFinding("norm, parts") { twins, finding in
      for (rows, columns, first, count, width) in [
        (1, 7, 2, 1, 3), (5, 96, 16, 4, 16), (37, 41, 5, 3, 11), (700, 72, 0, 2, 24),
      ] {
        let (name, parts) = ("\(rows) x \(count) of \(width)", RowParts(first: first, count: count))
        let x = twins.normal([rows, columns], twins.narrow)
        let weight = twins.normal([width])
        let y = twins.normal([rows, columns], twins.narrow)
        let inverse = twins.output([rows, count])
        let upstream = twins.normal([rows, columns], twins.narrow)
        twins.compute { on in
          on.backend.rmsNorm(
            on[x], parts: parts, weight: on[weight], epsilon: 1e-5, into: on[y],
            inverseRMS: on[inverse])
        }
        try twins.compare(y, roundings: 1, in: &finding, name)
        try twins.compare(inverse, in: &finding, name + ", inverse RMS")
        for accumulates in [false, true] {
          let dX = twins.normal([rows, columns], twins.narrow)
          let dWeight = twins.normal([width])
          twins.compute { on in
            on.backend.rmsNormBackward(
              on[upstream], x: on[x], parts: parts, weight: on[weight], inverseRMS: on[inverse],
              accumulates: accumulates, xGradient: on[dX], weightGradient: on[dWeight])
          }
          try twins.compare(dX, roundings: 1, in: &finding, name + ", dX")
          try twins.compare(dWeight, in: &finding, name + ", dW")
        }
      }
    }
  }

  /// Query heads, key-value heads, size: halves of whole vectors or not, groups of heads or not.
  private static let heads = [
    (4, 2, 6), (3, 3, 16), (4, 4, 32), (8, 2, 32), (2, 2, 64), (8, 2, 128),
  ]
  .map { AttentionShape(heads: $0.0, kvHeads: $0.1, headSize: $0.2) }

  /// Windows of one position, of less than a tile of keys, of one and of more.
  private static let windowedHeads = [
    (4, 2, 6, 1), (4, 4, 16, 17), (8, 2, 32, 64), (4, 1, 32, 100), (2, 2, 64, 37), (8, 2, 64, 64),
    (8, 2, 128, 65),
  ]
  .map { AttentionShape(heads: $0.0, kvHeads: $0.1, headSize: $0.2, window: $0.3) }

  /// Heads of which a part is rotated: whole vectors of it or not.
  private static let partlyRotatedHeads = [(4, 2, 6, 2), (3, 3, 16, 10), (8, 2, 64, 32)]
    .map { AttentionShape(heads: $0.0, kvHeads: $0.1, headSize: $0.2, rotarySize: $0.3) }

  private func rotations() -> Finding {
    trainingFinding("rotary positions") { twins, finding in
      for shape in Self.heads + Self.partlyRotatedHeads {
        let table = twins.rotaryTable(positions: 100, rotarySize: shape.rotarySize)
        let positions = twins.integers((0..<77).map { Int32($0 * 31 % 100) })
        for inverse in [false, true] {
          let qkv = twins.normal([77, shape.rowWidth], twins.narrow)
          twins.compute { on in
            on.backend.rotate(
              on[qkv], shape: shape, positions: on[positions], table: on[table],
              inverse: inverse)
          }
          try twins.compare(
            qkv, roundings: 1, in: &finding,
            "\(shape.label), inverse \(inverse)")
        }
      }
    }
  }

  // Attention ------------------------------------------------------------------------------------

  /// Lengths of two sequences, and how large scores are: at 3, later keys exceed the first by so much
  /// that sums have to be scaled anew.
  private static let texts: [(length: Int, scale: Float)] = [(1, 1), (37, 1), (129, 1), (150, 3)]

  private struct AttentionCase {
    let shape: AttentionShape
    let length: Int
    let name: String
    let qkv, output, logSumExp: Twin<Tensor>
  }

  private func forEachAttention(
    _ twins: BackendComparison, _ body: (AttentionCase) throws -> Void
  ) throws {
    for shape in Self.heads + Self.windowedHeads {
      for (length, scale) in Self.texts {
        let rows = 2 * length
        try body(
          AttentionCase(
            shape: shape, length: length,
            name: "\(shape.label), \(length) long, scale \(scale)",
            qkv: twins.normal([rows, shape.rowWidth], twins.narrow, scale: scale),
            output: twins.output([rows, shape.queryWidth], twins.narrow),
            logSumExp: twins.output([2, shape.heads, length])))
      }
    }
  }

  /// Two roundings: of the probabilities, which are factors of a product, and of the result.
  private func attentionForward() -> Finding {
    trainingFinding("attention") { twins, finding in
      try forEachAttention(twins) { item in
        twins.compute { on in
          on.backend.attention(
            on[item.qkv], shape: item.shape, length: item.length, into: on[item.output],
            logSumExp: on[item.logSumExp])
        }
        try twins.compare(item.output, roundings: 2, in: &finding, item.name)
        try twins.compare(item.logSumExp, in: &finding, item.name + ", log sum")
      }
    }
  }

  /// From one output for both, the CPU's. Two roundings: of the probabilities or of their gradient,
  /// and of the result.
  private func attentionBackward() -> Finding {
    trainingFinding("attention, backward") { twins, finding in
      try forEachAttention(twins) { item in
        twins.host.attention(
          item.qkv.expected, shape: item.shape, length: item.length,
          into: item.output.expected, logSumExp: item.logSumExp.expected)
        let output = twins.tensor(
          item.output.expected.shape, twins.narrow, item.output.expected.array)
        let logSumExp = twins.tensor(
          item.logSumExp.expected.shape, .float32, item.logSumExp.expected.array)
        let upstream = twins.normal(output.expected.shape, twins.narrow)
        let gradient = twins.output(item.qkv.expected.shape, twins.narrow)
        twins.compute { on in
          on.backend.attentionBackward(
            on[upstream], qkv: on[item.qkv], output: on[output], logSumExp: on[logSumExp],
            shape: item.shape, length: item.length, qkvGradient: on[gradient])
        }
        try twins.compare(gradient, roundings: 2, in: &finding, item.name)
      }
    }
  }
}
