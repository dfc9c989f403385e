import MGLUModel
import MGLUReference
import Testing

/// Norm, rotary positions, attention and loss in float32 against the float64 reference.
@Suite struct LayerAgreementTests {
  /// Sums of up to 1031 float32 terms err by about sqrt(1031) 2^-24 = 2e-6 at worst and attention
  /// subtracts one sum from another; a wrong term shows at order 1.
  static let bound = 1e-5

  @Test(arguments: [3, 13, 127, 1031], [1, 7, 300])
  func normAgreesWithTheReference(width: Int, rows: Int) throws {
    var random = Philox(seed: 1, purpose: .synthetic)
    let x = ReferenceMatrix.normal(rows: rows, columns: width, using: &random)
    let upstream = ReferenceMatrix.normal(rows: rows, columns: width, using: &random)
    let weight = ReferenceMatrix.normal(rows: 1, columns: width, using: &random)
    let start = ReferenceMatrix.normal(rows: rows, columns: width, using: &random)
    let epsilon: Float = 0.01
    let norm = ReferenceNorm(weight: weight, epsilon: Double(epsilon))
    let expected = norm.backward(upstream, x: x)
    for name in CPUBackend.instructionSets {
      for threads in [1, 2, 3] {
        let backend = try CPUBackend(threads: threads, instructionSet: name)
        let t = tensors([x, upstream, start, x.zeros], on: backend)
        let v = tensors([weight, weight, ReferenceMatrix(rows: 1, columns: rows)], on: backend)
        backend.rmsNorm(t[0], weight: v[0], epsilon: epsilon, into: t[3], inverseRMS: v[2])
        backend.rmsNormBackward(
          t[1], x: t[0], weight: v[0], inverseRMS: v[2], xGradient: t[2], weightGradient: v[1])
        backend.synchronize()
        // Both gradients add to what was there: the weight's to the weight itself.
        #expect(relativeError(ReferenceMatrix(t[3]), norm(x)) < Self.bound)
        #expect(relativeError(ReferenceMatrix(t[2]) - start, expected.input) < Self.bound)
        #expect(relativeError(ReferenceMatrix(v[1]) - weight, expected.weight) < Self.bound)
      }
    }
  }

  static let shapes = [
    AttentionShape(heads: 1, kvHeads: 1, headSize: 2),
    AttentionShape(heads: 4, kvHeads: 2, headSize: 6),
    AttentionShape(heads: 3, kvHeads: 3, headSize: 16),
    AttentionShape(heads: 3, kvHeads: 1, headSize: 64),
    AttentionShape(heads: 4, kvHeads: 2, headSize: 6, window: 1, rotarySize: 2),
    AttentionShape(heads: 2, kvHeads: 1, headSize: 10, window: 7, rotarySize: 6),
    AttentionShape(heads: 2, kvHeads: 2, headSize: 16, window: 64, rotarySize: 0),
    AttentionShape(heads: 3, kvHeads: 1, headSize: 16, window: 100),
  ]

  @Test(arguments: shapes)
  func rotationAgreesWithTheReference(shape: AttentionShape) throws {
    let positions = [0, 1, 2, 511, 1022, 1, 7]
    var random = Philox(seed: 2, purpose: .synthetic)
    let qkv = ReferenceMatrix.normal(
      rows: positions.count, columns: shape.rowWidth, using: &random)
    let rotary = ReferenceRotary(
      headSize: shape.headSize, rotarySize: shape.rotarySize, theta: 10_000)
    let rotated = 0..<shape.queryWidth + shape.kvWidth
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 2, instructionSet: name)
      let (table, ids) = backend.allocate { layout in
        (
          RotaryTable(positions: 1023, rotarySize: shape.rotarySize, in: &layout),
          layout.tensor([positions.count], .int32)
        )
      }
      table.fill(theta: 10_000)
      ids.assign(integers: positions.map(Int32.init))
      for inverse in [false, true] {
        let x = tensors([qkv], on: backend)[0]
        backend.rotate(x, shape: shape, positions: ids, table: table, inverse: inverse)
        backend.synchronize()
        let result = ReferenceMatrix(x)
        let expected = rotary(qkv.columns(rotated), positions: positions, inverse: inverse)
        #expect(relativeError(result.columns(rotated), expected) < Self.bound)
        let values = rotated.upperBound..<shape.rowWidth
        #expect(result.columns(values) == qkv.columns(values), "values are not rotated")
      }
    }
  }

  /// Lengths of one row, less than a block of 64 rows, exactly one, one more, and three.
  @Test(arguments: shapes, [1, 7, 64, 65, 131])
  func attentionAgreesWithTheReference(shape: AttentionShape, length: Int) throws {
    let sequences = 2
    let rows = sequences * length
    var random = Philox(seed: 3, purpose: .synthetic)
    let qkv = ReferenceMatrix.normal(rows: rows, columns: shape.rowWidth, using: &random)
    let upstream = ReferenceMatrix.normal(rows: rows, columns: shape.queryWidth, using: &random)
    let expected = Self.reference(qkv, upstream, shape, length: length)
    let backends =
      try [1, 2, 3].map { try CPUBackend(threads: $0) }
      + CPUBackend.instructionSets.map {
        try CPUBackend(threads: 2, instructionSet: $0, usesBLAS: false)
      }
    for backend in backends {
      let t = tensors([qkv, qkv.zeros, upstream, upstream.zeros], on: backend)
      let statistics = backend.allocate { $0.tensor([sequences, shape.heads, length]) }
      backend.attention(t[0], shape: shape, length: length, into: t[3], logSumExp: statistics)
      backend.attentionBackward(
        t[2], qkv: t[0], output: t[3], logSumExp: statistics, shape: shape, length: length,
        qkvGradient: t[1])
      backend.synchronize()
      #expect(relativeError(ReferenceMatrix(t[3]), expected.output) < Self.bound)
      let gradient = ReferenceMatrix(t[1])
      let (q, k) = (shape.queryWidth, shape.queryWidth + shape.kvWidth)
      for (range, name) in [(0..<q, "dQ"), (q..<k, "dK"), (k..<shape.rowWidth, "dV")] {
        // A token that sees nothing else attends to itself whatever its query: dQ and dK are 0, and
        // what is left of them is the rounding of (dO V - dO O) k, whose terms grow as the head.
        let error = relativeError(
          gradient.columns(range), expected.gradient.columns(range),
          floor: length == 1 || shape.window == 1 ? Double(shape.headSize) : 0)
        #expect(error < Self.bound, "\(name), \(backend.summary)")
      }
    }
  }

  private static func reference(
    _ qkv: ReferenceMatrix, _ upstream: ReferenceMatrix, _ shape: AttentionShape, length: Int
  ) -> (output: ReferenceMatrix, gradient: ReferenceMatrix) {
    let attention = ReferenceAttention(shape)
    let (q, k) = (shape.queryWidth, shape.queryWidth + shape.kvWidth)
    var outputs: [ReferenceMatrix] = []
    var gradients: [ReferenceMatrix] = []
    for first in stride(from: 0, to: qkv.rows, by: length) {
      let text = qkv.rows(first..<first + length)
      let queries = text.columns(0..<q)
      let keys = text.columns(q..<k)
      let values = text.columns(k..<shape.rowWidth)
      outputs.append(attention(queries: queries, keys: keys, values: values))
      let d = attention.backward(
        upstream.rows(first..<first + length), queries: queries, keys: keys, values: values)
      var gradient = text.zeros
      gradient.add(d.queries, toColumnsFrom: 0)
      gradient.add(d.keys, toColumnsFrom: q)
      gradient.add(d.values, toColumnsFrom: k)
      gradients.append(gradient)
    }
    return (.stacked(outputs), .stacked(gradients))
  }

  /// Biases of every row, and their gradients, which are added to what was there.
  @Test(arguments: [(1, 1), (7, 13), (300, 129), (3, 1031)])
  func biasesAgreeWithTheReference(rows: Int, width: Int) throws {
    var random = Philox(seed: 6, purpose: .synthetic)
    let x = ReferenceMatrix.normal(rows: rows, columns: width, using: &random)
    let bias = ReferenceMatrix.normal(rows: 1, columns: width, using: &random)
    let sum = ReferenceMatrix(rows: rows, columns: width) { x[$0, $1] + bias[0, $1] }
    let gradient = ReferenceMatrix(
      rows: 1, columns: width, elements: zip(bias.elements, x.transposed.rowSums).map(+))
    for name in CPUBackend.instructionSets {
      for threads in [1, 2, 3] {
        let backend = try CPUBackend(threads: threads, instructionSet: name)
        let t = tensors([x, x, bias, bias], on: backend)
        backend.addBias(t[2].reshaped([width]), to: t[0])
        backend.addBiasBackward(t[1], biasGradient: t[3].reshaped([width]))
        backend.synchronize()
        #expect(relativeError(ReferenceMatrix(t[0]), sum) < Self.bound)
        #expect(relativeError(ReferenceMatrix(t[3]), gradient) < Self.bound)
      }
    }
  }

  /// With and without a large common offset of the logits, which changes nothing.
  @Test(arguments: [2, 7, 16, 17, 1031], [0, 10_000] as [Float])
  func crossEntropyAgreesWithTheReference(vocabulary: Int, offset: Float) throws {
    let rows = 23
    var random = Philox(seed: 4, purpose: .synthetic)
    // Multiples of 2^-10, so that the offset costs no digits of the inputs.
    let logits = ReferenceMatrix.normal(
      rows: rows, columns: vocabulary, scale: 3, using: &random
    ).map { ($0 * 1024).rounded() / 1024 + Double(offset) }
    let targets = (0..<rows).map { Int32($0 % 5 == 2 ? -1 : $0 * 7 % vocabulary) }
    let expected = ReferenceLoss.crossEntropy(logits, targets: targets)
    let losses = ReferenceMatrix(rows: 1, columns: rows, elements: expected.losses)
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 2, instructionSet: name)
      for scale: Float in [0, 0.25] {
        let t = tensors([logits], on: backend)[0]
        let (ids, result) = backend.allocate {
          ($0.tensor([rows], .int32), $0.tensor([1, rows]))
        }
        ids.assign(integers: targets)
        backend.crossEntropy(
          t, vocabulary: vocabulary, targets: ids, losses: result, gradientScale: scale)
        backend.synchronize()
        #expect(relativeError(ReferenceMatrix(result), losses) < Self.bound)
        guard scale != 0 else { continue }
        let gradient = ReferenceMatrix(t)
        #expect(relativeError(gradient, Double(scale) * expected.gradient) < Self.bound)
        #expect(result.array[2] == 0 && gradient.rows(2..<3).elements.allSatisfy { $0 == 0 })
      }
    }
  }

  /// Both models' logits lie in wider rows, whose rest has no gradient.
  @Test(arguments: [2, 7, 16, 17, 1031], [(0.5, 1.0), (1, 4), (0.25, 0.5)])
  func distillationAgreesWithTheReference(
    vocabulary: Int, settings: (share: Double, temperature: Double)
  ) throws {
    let (rows, width) = (23, vocabulary + 3)
    var random = Philox(seed: 5, purpose: .synthetic)
    let wide = (0..<2).map { _ in
      ReferenceMatrix.normal(rows: rows, columns: width, scale: 3, using: &random)
    }
    func narrow(_ matrix: ReferenceMatrix) -> ReferenceMatrix {
      ReferenceMatrix(
        rows: rows, columns: vocabulary,
        elements: (0..<rows).flatMap { row in (0..<vocabulary).map { matrix[row, $0] } })
    }
    let targets = (0..<rows).map { Int32($0 % 5 == 2 ? -1 : $0 * 7 % vocabulary) }
    let expected = ReferenceLoss.distillation(
      narrow(wide[0]), teacher: narrow(wide[1]), targets: targets, share: settings.share,
      temperature: settings.temperature)
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 2, instructionSet: name)
      let t = tensors(wide, on: backend)
      let (ids, losses) = backend.allocate { ($0.tensor([rows], .int32), $0.tensor([1, rows])) }
      ids.assign(integers: targets)
      backend.distill(
        t[0], teacher: t[1], vocabulary: vocabulary, targets: ids, losses: losses,
        gradientScale: 0.25,
        Distillation(
          share: Float(settings.share), temperature: Float(settings.temperature)))
      backend.synchronize()
      #expect(
        relativeError(
          ReferenceMatrix(losses),
          ReferenceMatrix(rows: 1, columns: rows, elements: expected.losses)) < Self.bound)
      let found = ReferenceMatrix(t[0])
      #expect(relativeError(narrow(found), 0.25 * expected.gradient) < Self.bound)
      for row in 0..<rows { for column in vocabulary..<width { #expect(found[row, column] == 0) } }
    }
  }

  /// A vocabulary of one token, whose probability is one for everybody.
  @Test(arguments: [(0.5, 1.0), (1, 4), (0.25, 0.5), (0.25, 3), (0, 3)])
  func aProbabilityOfOneHasNoGradient(share: Float, temperature: Float) throws {
    let rows = 5
    var random = Philox(seed: 6, purpose: .synthetic)
    let columns = (0..<2).map { _ in
      ReferenceMatrix.normal(rows: rows, columns: 1, scale: 3, using: &random)
    }
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 1, instructionSet: name)
      let t = tensors(columns, on: backend)
      let (ids, losses) = backend.allocate { ($0.tensor([rows], .int32), $0.tensor([1, rows])) }
      ids.assign(integers: [0, 0, -1, 0, 0])
      backend.distill(
        t[0], teacher: t[1], vocabulary: 1, targets: ids, losses: losses, gradientScale: 0.01,
        Distillation(share: share, temperature: temperature))
      backend.synchronize()
      #expect(ReferenceMatrix(t[0]).elements == Array(repeating: 0, count: rows), "\(name)")
      #expect(ReferenceMatrix(losses).elements == Array(repeating: 0, count: rows), "\(name)")
    }
  }

  /// Float32 tensors of these matrices.
  private func tensors(_ matrices: [ReferenceMatrix], on backend: CPUBackend) -> [Tensor] {
    let tensors = backend.allocate { layout in
      matrices.map { layout.tensor([$0.rows, $0.columns]) }
    }
    for (tensor, matrix) in zip(tensors, matrices) { tensor.assign(matrix.floats) }
    return tensors
  }
}
