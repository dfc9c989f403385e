import MGLUModel
import RealModule

/// Grouped-query causal attention of one sequence in float64, head by head.
package struct ReferenceAttention: Sendable {
  /// Heads and their size.
  package var shape: AttentionShape

  /// Attention of `shape`.
  package init(_ shape: AttentionShape) { self.shape = shape }

  /// The columns of query head `head`, and those of the key-value head it shares.
  private func columns(ofHead head: Int) -> (query: Range<Int>, keyValue: Range<Int>) {
    let size = shape.headSize
    let shared = head / (shape.heads / shape.kvHeads)
    return (head * size..<(head + 1) * size, shared * size..<(shared + 1) * size)
  }

  /// P `[n, n]` of one head: softmax over the positions up to a row's own, or the last of them within
  /// the window, of q k^T / sqrt(size).
  private func probabilities(_ q: ReferenceMatrix, _ k: ReferenceMatrix) -> ReferenceMatrix {
    let scores = scale * (q * k.transposed)
    var p = scores.zeros
    for row in 0..<scores.rows {
      let visible = max(0, row + 1 - (shape.window ?? row + 1))...row
      let top = visible.reduce(-.infinity) { max($0, scores[row, $1]) }
      let total = visible.reduce(0) { $0 + .exp(scores[row, $1] - top) }
      for column in visible { p[row, column] = .exp(scores[row, column] - top) / total }
    }
    return p
  }

  /// 1 / sqrt(headSize).
  private var scale: Double { 1 / Double(shape.headSize).squareRoot() }

  /// P v of every head, side by side `[n, heads headSize]`, of rotated queries
  /// `[n, heads headSize]`, rotated keys and values `[n, kvHeads headSize]`.
  package func callAsFunction(
    queries: ReferenceMatrix, keys: ReferenceMatrix, values: ReferenceMatrix
  ) -> ReferenceMatrix {
    var output = queries.zeros
    for head in 0..<shape.heads {
      let (query, keyValue) = columns(ofHead: head)
      let p = probabilities(queries.columns(query), keys.columns(keyValue))
      output.add(p * values.columns(keyValue), toColumnsFrom: query.lowerBound)
    }
    return output
  }

  /// The gradients of queries, keys and values:
  ///
  ///     dV = P^T dO    dP = dO V^T    dS = P (.) (dP - rowsum(P (.) dP)) / sqrt(size)
  ///     dQ = dS K      dK = dS^T Q
  package func backward(
    _ upstream: ReferenceMatrix, queries: ReferenceMatrix, keys: ReferenceMatrix,
    values: ReferenceMatrix
  ) -> (queries: ReferenceMatrix, keys: ReferenceMatrix, values: ReferenceMatrix) {
    var (dQueries, dKeys, dValues) = (queries.zeros, keys.zeros, values.zeros)
    for head in 0..<shape.heads {
      let (query, keyValue) = columns(ofHead: head)
      let (q, k) = (queries.columns(query), keys.columns(keyValue))
      let p = probabilities(q, k)
      let dOutput = upstream.columns(query)
      let dP = dOutput * values.columns(keyValue).transposed
      let mean = (p .* dP).rowSums
      let dS = ReferenceMatrix(rows: p.rows, columns: p.columns) {
        p[$0, $1] * (dP[$0, $1] - mean[$0]) * scale
      }
      dQueries.add(dS * k, toColumnsFrom: query.lowerBound)
      dKeys.add(dS.transposed * q, toColumnsFrom: keyValue.lowerBound)
      dValues.add(p.transposed * dOutput, toColumnsFrom: keyValue.lowerBound)
    }
    return (dQueries, dKeys, dValues)
  }
}

/// Rotary positions in float64, halves against halves as Hugging Face has them.
package struct ReferenceRotary: Sendable {
  /// Elements of a head.
  package var headSize: Int
  /// The first of them that are rotated.
  package var rotarySize: Int
  /// The base of the frequencies.
  package var theta: Double
  /// How the frequencies are changed, of texts of `context` tokens.
  package var scaling: RopeScaling?
  /// The length of the texts.
  package var context: Int

  /// Positions for heads of `headSize` elements, all of which are rotated unless a number is given.
  package init(
    headSize: Int, rotarySize: Int? = nil, theta: Double, scaling: RopeScaling? = nil,
    context: Int = 1
  ) {
    self.headSize = headSize
    self.rotarySize = rotarySize ?? headSize
    self.theta = theta
    self.scaling = scaling
    self.context = context
  }

  /// With angle = position theta^(-2 j / rotarySize), unless frequencies are scaled, and halves a, b of
  /// the first rotarySize elements of each head: (a cos - b sin, b cos + a sin), times the factor of
  /// the scaling. Rotating by the negative angle is the backward pass.
  ///
  /// - Parameters:
  ///   - x: Heads side by side `[n, heads headSize]`.
  ///   - positions: The position of each row.
  ///   - inverse: Whether to rotate back.
  package func callAsFunction(
    _ x: ReferenceMatrix, positions: [Int], inverse: Bool = false
  ) -> ReferenceMatrix {
    let half = rotarySize / 2
    let frequencies = RopeScaling.frequencies(
      theta: theta, pairs: half, scaling, context: context)
    let factor = scaling?.attentionFactor ?? 1
    var rotated = x
    for row in 0..<x.rows {
      for first in stride(from: 0, to: x.columns, by: headSize) {
        for j in 0..<half {
          let angle = Double(positions[row]) * frequencies[j] * (inverse ? -1 : 1)
          let (a, b) = (x[row, first + j], x[row, first + half + j])
          rotated[row, first + j] = factor * (a * .cos(angle) - b * .sin(angle))
          rotated[row, first + half + j] = factor * (b * .cos(angle) + a * .sin(angle))
        }
      }
    }
    return rotated
  }
}
