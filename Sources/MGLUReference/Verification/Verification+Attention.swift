import MGLUModel
import RealModule

/// Attention over a cache.
extension Verification {
  /// Head sizes and query heads for each key-value head: of those that kernels have variants for; and
  /// windows, of less than a step of a kernel and more, and heads of which a part or nothing is rotated.
  private static let attentionShapes =
    [16, 64, 80, 128].flatMap { size in
      [1, 2, 4, 6].map { AttentionShape(heads: 2 * $0, kvHeads: 2, headSize: size) }
    }
    + [(64, 1, 64), (64, 45, 64), (64, 300, 64), (80, 399, 80), (64, nil, 32), (80, nil, 30)].map {
      AttentionShape(heads: 4, kvHeads: 2, headSize: $0, window: $1, rotarySize: $2)
    }
    + [(16, nil, 0), (128, 77, 96)].map {
      AttentionShape(heads: 2, kvHeads: 2, headSize: $0, window: $1, rotarySize: $2)
    }

  /// Further heads that tensor cores take, with groups of queries that one block serves and with ones that it
  /// does not.
  private static let tensorCoreShapes =
    [(3, 1, 32, nil, 32), (16, 2, 32, 70, 16), (6, 2, 96, nil, 96), (2, 2, 96, 130, 48)].map {
      AttentionShape(heads: $0, kvHeads: $1, headSize: $2, window: $3, rotarySize: $4)
    }
    + [(32, 2, 64, 65, 64), (9, 3, 64, nil, 64), (8, 1, 128, 64, 128)].map {
      AttentionShape(heads: $0, kvHeads: $1, headSize: $2, window: $3, rotarySize: $4)
    }

  /// Rows of two sequences, whose blocks of the cache lie in any order and which are long enough for
  /// several blocks of a GPU to share a row: prompts in parts, alone and beside rows that decode, single
  /// rows, the last position.
  ///
  /// Sums in float32: 1e-5. Where the backend has caches of 16 bits, queries, keys, weights and results are
  /// rounded to them, up to 2^-11 of each (BF16: 2^-8): 2e-3 (1.6e-2) of a row. Rows come in the cache's type, as
  /// products leave them, or in float32, as norms of heads and biases do.
  package func attention() throws(BackendError) -> [Finding] {
    var findings = [try attention(cache: .float32, rows: .float32, bound: 1e-5)]
    for (weights, type, bound) in [
      (WeightType.float16, DataType.float16, 2e-3), (.bfloat16, .bfloat16, 1.6e-2),
    ] where backend.cacheType(weights: weights, precision: .reduced) == type {
      for rows in [type, .float32] {
        findings.append(try attention(cache: type, rows: rows, bound: bound))
      }
    }
    return findings
  }

  private func attention(
    cache type: DataType, rows rowType: DataType, bound: Double
  ) throws(BackendError) -> Finding {
    let isNarrow = type != .float32
    var finding = Finding(
      "attention over \(type)\(rowType == type ? "" : " of \(rowType)")", on: set)
    let narrowShapes = isNarrow ? Self.tensorCoreShapes : []
    for shape in Self.attentionShapes + narrowShapes {
      var random = Philox(seed: 7, purpose: .synthetic)
      var sequences = AttentionCase(
        shape, cache: type, rows: rowType, on: backend, using: &random)
      for step in AttentionCase.steps {
        let found = try sequences.run(step, on: backend)
        for (row, (sequence, position)) in found.rows.enumerated() {
          // The first and the last of the rows of a chunk: all others lie between.
          let isInside =
            row > 0 && row + 1 < found.rows.count && found.rows[row - 1].sequence == sequence
            && found.rows[row + 1].sequence == sequence
          if isInside { continue }
          finding.add(
            found.output.rows(row..<row + 1),
            expected: sequences.references[sequence].row(position), bound: bound,
            "\(shape.label), sequence \(sequence), position \(position)")
        }
      }
    }
    return finding
  }
}

/// Two sequences of a cache, step by step.
private struct AttentionCase {
  static let capacity = 400

  /// How many rows of each sequence decode, and how many are a prompt's.
  static let steps: [(decoding: [Int], prompts: [Int])] = [
    ([], [299, 0]), ([0], [0, 130]), ([0, 1], []), ([1], [7, 0]), ([1, 0], []), ([], [89, 1]),
    ([0], [0, 170]), ([1, 0], []),
  ]

  let shape: AttentionShape
  let references: [CachedAttention]
  private let rows: [ReferenceMatrix]
  private let rowType: DataType
  private let table: RotaryTable
  private let cache: KeyValueBlocks
  private let blockTables: Tensor
  private var positions = [0, 0]

  init(
    _ shape: AttentionShape, cache type: DataType, rows rowType: DataType,
    on backend: any InferenceBackend, using random: inout Philox
  ) {
    (self.shape, self.rowType) = (shape, rowType)
    rows = [0, 1].map { _ in
      let wide = ReferenceMatrix.normal(
        rows: Self.capacity, columns: shape.rowWidth, using: &random)
      return ReferenceMatrix(widened(narrowed(wide, to: rowType, on: backend), on: backend))
    }
    references = rows.map { CachedAttention($0, shape) }
    let table = backend.host.allocate {
      RotaryTable(positions: Self.capacity, rotarySize: shape.rotarySize, in: &$0)
    }
    table.fill(theta: CachedAttention.theta)
    self.table = table.toDevice(on: backend)
    let size = backend.cacheBlockSize
    let count = (Self.capacity + size - 1) / size
    cache = backend.allocate { layout in
      KeyValueBlocks(shape, blocks: 2 * count + 1, blockSize: size, type: type, in: &layout)
    }
    // Line 0 belongs to no sequence; the blocks of one sequence ascend, those of the other descend
    // between them.
    let tables = backend.host.allocate { $0.tensor([3, count], .int32) }
    tables.assign(
      integers: (0..<count).map { _ in 0 } + (0..<count).map { Int32(2 * $0 + 1) }
        + (0..<count).map { Int32(2 * (count - $0)) })
    blockTables = backend.toDevice(tables)
  }

  /// Computes a step: whose rows it had, and what they found.
  mutating func run(
    _ step: (decoding: [Int], prompts: [Int]), on backend: any InferenceBackend
  ) throws(BackendError) -> (rows: [(sequence: Int, position: Int)], output: ReferenceMatrix) {
    var entered: [(sequence: Int, position: Int)] = []
    var chunks: [AttentionRows.Chunk] = []
    func enter(_ sequence: Int, _ count: Int) -> Range<Int> {
      defer { positions[sequence] += count }
      entered += (0..<count).map { (sequence, positions[sequence] + $0) }
      return entered.count - count..<entered.count
    }
    for sequence in step.decoding { _ = enter(sequence, 1) }
    for (sequence, count) in step.prompts.enumerated() where count > 0 {
      let position = positions[sequence]
      chunks.append(
        .init(rows: enter(sequence, count), slot: sequence + 1, position: position))
    }
    let qkv = ReferenceMatrix(
      rows: entered.count, columns: shape.rowWidth,
      elements: entered.flatMap { rows[$0.sequence].rows($0.position..<$0.position + 1).elements })
    let tiles = chunks.flatMap { chunk in
      stride(from: 0, to: chunk.rows.count, by: AttentionRows.tileRows).flatMap { first in
        [
          chunk.rows.lowerBound + first, min(AttentionRows.tileRows, chunk.rows.count - first),
          chunk.slot, chunk.position + first,
        ].map { Int32($0) }
      }
    }
    let (places, slots, tileList, output) = backend.allocateShared { layout in
      (
        layout.tensor([entered.count], .int32), layout.tensor([entered.count], .int32),
        layout.tensor([tiles.count / 4, 4], .int32),
        layout.tensor([entered.count, shape.queryWidth], cache.keys.dataType)
      )
    }
    places.assign(integers: entered.map { Int32($0.position) })
    slots.assign(integers: entered.map { Int32($0.sequence + 1) })
    tileList.assign(integers: tiles)
    backend.attention(
      backend.toDevice(narrowed(qkv, to: rowType, on: backend)), shape: shape,
      rows: AttentionRows(
        positions: places, slots: slots, blockTables: blockTables,
        decodeRows: step.decoding.count, chunks: chunks, tiles: tiles.isEmpty ? nil : tileList),
      table: table, cache: cache, orders: .plain, into: output)
    try backend.finish()
    return (entered, ReferenceMatrix(widened(output, on: backend)))
  }
}

/// A matrix of the host, of float32 or a 16-bit type.
private func narrowed(
  _ matrix: ReferenceMatrix, to type: DataType, on backend: any InferenceBackend
) -> Tensor {
  guard let stored = WeightType(type) else { preconditionFailure("rows of \(type)") }
  let wide = backend.host.allocate { $0.tensor([matrix.rows, matrix.columns]) }
  wide.assign(matrix.floats)
  return backend.host.converted(StoredMatrix(weights: wide), to: stored).weights
}

/// The float32 elements of such a tensor.
private func widened(_ tensor: Tensor, on backend: any InferenceBackend) -> Tensor {
  let wide = backend.host.allocate { $0.tensor(tensor.shape) }
  backend.host.dequantize(StoredMatrix(weights: tensor), into: wide)
  return wide
}

extension AttentionShape {
  /// A name for a line of text.
  var label: String {
    let parts = [
      "\(heads) / \(kvHeads) heads of \(headSize)", window.map { "window \($0)" },
      rotarySize == headSize ? nil : "\(rotarySize) rotated",
    ]
    return parts.compactMap(\.self).joined(separator: ", ")
  }
}

/// Single rows of attention in float64.
private struct CachedAttention {
  static let theta = 10_000.0

  let shape: AttentionShape
  let queries: ReferenceMatrix
  let keys: ReferenceMatrix
  let values: ReferenceMatrix

  init(_ qkv: ReferenceMatrix, _ shape: AttentionShape) {
    let rotary = ReferenceRotary(
      headSize: shape.headSize, rotarySize: shape.rotarySize, theta: Self.theta)
    let positions = Array(0..<qkv.rows)
    let (q, kv) = (shape.queryWidth, shape.kvWidth)
    self.shape = shape
    queries = rotary(qkv.columns(0..<q), positions: positions)
    keys = rotary(qkv.columns(q..<q + kv), positions: positions)
    values = qkv.columns(q + kv..<q + 2 * kv)
  }

  /// softmax(q K^T / sqrt(size)) V of the row at `position`, over the window's positions.
  func row(_ position: Int) -> ReferenceMatrix {
    let size = shape.headSize
    var output = ReferenceMatrix(rows: 1, columns: shape.queryWidth)
    for head in 0..<shape.heads {
      let shared = head / (shape.heads / shape.kvHeads) * size
      let first = max(0, position + 1 - (shape.window ?? position + 1))
      let scores = (first...position).map { at in
        (0..<size).reduce(0.0) { sum, i in
          sum + queries[position, head * size + i] * keys[at, shared + i]
        } / Double(size).squareRoot()
      }
      let top = scores.max() ?? 0
      let weights = scores.map { Double.exp($0 - top) }
      let total = weights.reduce(0, +)
      for (at, weight) in weights.enumerated() {
        for i in 0..<size {
          output[0, head * size + i] += weight / total * values[first + at, shared + i]
        }
      }
    }
    return output
  }
}
