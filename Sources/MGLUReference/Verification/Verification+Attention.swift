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

  /// Rows of two sequences, whose blocks of the cache lie in any order and which are long enough for
  /// several blocks of a GPU to share a row: prompts in parts, alone and beside rows that decode, single
  /// rows, the last position. Sums in float32: 1e-5.
  package func attention() throws(BackendError) -> Finding {
    var finding = Finding("attention, cached", on: set)
    for shape in Self.attentionShapes {
      var random = Philox(seed: 7, purpose: .synthetic)
      var sequences = AttentionCase(shape, on: backend, using: &random)
      for step in AttentionCase.steps {
        let found = try sequences.run(step, on: backend)
        for (row, (sequence, position)) in found.rows.enumerated() {
          // The first and the last of the rows of a chunk: all others lie between.
          let isInside =
            row > 0 && row + 1 < found.rows.count && found.rows[row - 1].sequence == sequence
            && found.rows[row + 1].sequence == sequence
          if isInside { continue }
          finding.add(
            ReferenceMatrix(found.output[row..<row + 1]),
            expected: sequences.references[sequence].row(position), bound: 1e-5,
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
    ([], [299, 0]), ([0], [0, 130]), ([0, 1], []), ([1], [7, 0]), ([1, 0], []), ([], [91, 1]),
    ([0], [0, 170]), ([1, 0], []),
  ]

  let shape: AttentionShape
  let references: [CachedAttention]
  private let rows: [ReferenceMatrix]
  private let table: RotaryTable
  private let cache: KeyValueBlocks
  private let blockTables: Tensor
  private var positions = [0, 0]

  init(_ shape: AttentionShape, on backend: any InferenceBackend, using random: inout Philox) {
    self.shape = shape
    rows = [0, 1].map { _ in
      ReferenceMatrix.normal(rows: Self.capacity, columns: shape.rowWidth, using: &random)
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
      KeyValueBlocks(shape, blocks: 2 * count + 1, blockSize: size, type: .float32, in: &layout)
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
  ) throws(BackendError) -> (rows: [(sequence: Int, position: Int)], output: Tensor) {
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
    let qkv = backend.host.allocate { $0.tensor([entered.count, shape.rowWidth]) }
    qkv.assign(entered.flatMap { rows[$0.sequence].rows($0.position..<$0.position + 1).floats })
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
        layout.tensor([entered.count, shape.queryWidth])
      )
    }
    places.assign(integers: entered.map { Int32($0.position) })
    slots.assign(integers: entered.map { Int32($0.sequence + 1) })
    tileList.assign(integers: tiles)
    backend.attention(
      backend.toDevice(qkv), shape: shape,
      rows: AttentionRows(
        positions: places, slots: slots, blockTables: blockTables,
        decodeRows: step.decoding.count, chunks: chunks, tiles: tiles.isEmpty ? nil : tileList),
      table: table, cache: cache, into: output)
    try backend.finish()
    return (entered, output)
  }
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
