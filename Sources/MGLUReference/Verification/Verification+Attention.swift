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

  /// New rows over a cache that is long enough for several blocks to share a row: a prompt in two
  /// parts, single rows, the last position. Sums in float32: 1e-5.
  package func attention() throws(BackendError) -> Finding {
    let capacity = 400
    var finding = Finding("attention, cached", on: set)
    for shape in Self.attentionShapes {
      var random = Philox(seed: 7, purpose: .synthetic)
      let qkv = ReferenceMatrix.normal(rows: capacity, columns: shape.rowWidth, using: &random)
      let reference = CachedAttention(qkv, shape)
      let table = backend.host.allocate {
        RotaryTable(positions: capacity, rotarySize: shape.rotarySize, in: &$0)
      }
      table.fill(theta: CachedAttention.theta)
      let (keys, values) = backend.allocate { layout in
        let cache = [shape.kvHeads, capacity, shape.headSize]
        return (layout.tensor(cache), layout.tensor(cache))
      }
      let rotary = table.toDevice(on: backend)
      var start = 0
      for count in [299, 7, 1, 1, 91, 1] {
        let rows = start..<start + count
        let (positions, output) = backend.allocateShared { layout in
          (layout.tensor([count], .int32), layout.tensor([count, shape.queryWidth]))
        }
        positions.assign(integers: rows.map { Int32($0) })
        backend.attentionCached(
          backend.toDevice(hostTensor(qkv.rows(rows))), shape: shape, positions: positions,
          table: rotary, keys: keys, values: values, into: output)
        try backend.finish()
        // The first and the last of the rows: all others lie between.
        for row in Set([0, count - 1]).sorted() {
          finding.add(
            ReferenceMatrix(output[row..<row + 1]), expected: reference.row(start + row),
            bound: 1e-5, "\(shape.label), position \(start + row)")
        }
        start += count
      }
    }
    return finding
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
