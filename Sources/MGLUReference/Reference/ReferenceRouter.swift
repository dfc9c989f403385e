import RealModule

/// Top-K routing (paper, appendix B.2) in float64.
package struct ReferenceRouter: Sendable {
  /// Wr `[n_m, h]`.
  package var weight: ReferenceMatrix
  /// K.
  package var topK: Int

  /// A router over `weight` that keeps the `topK` largest logits.
  package init(weight: ReferenceMatrix, topK: Int) {
    self.weight = weight
    self.topK = topK
  }

  /// p `[n, n_m]` of x `[n, h]`: the softmax of the K largest of r = x Wr^T, 0 elsewhere.
  package func routes(_ x: ReferenceMatrix) -> ReferenceMatrix {
    routes(ofLogits: x * weight.transposed)
  }

  /// p `[n, n_m]` of the logits r `[n, n_m]`.
  package func routes(ofLogits logits: ReferenceMatrix) -> ReferenceMatrix {
    var p = logits.zeros
    for row in 0..<logits.rows {
      // A stable sort: of equal logits the lower index comes first.
      let order = (0..<logits.columns).sorted {
        (-logits[row, $0], $0) < (-logits[row, $1], $1)
      }
      let kept = order.prefix(topK)
      let top = logits[row, order[0]]
      let total = kept.reduce(0) { $0 + .exp(logits[row, $1] - top) }
      for index in kept { p[row, index] = .exp(logits[row, index] - top) / total }
    }
    return p
  }

  /// From the gradient dp of the routes p: dr = p (.) (dp - sum_k p_k dp_k), dX = dr Wr and
  /// dWr = dr^T X.
  package func backward(
    _ dp: ReferenceMatrix, routes p: ReferenceMatrix, x: ReferenceMatrix
  ) -> (input: ReferenceMatrix, weight: ReferenceMatrix) {
    let mean = (p .* dp).rowSums
    let dr = ReferenceMatrix(rows: p.rows, columns: p.columns) {
      p[$0, $1] * (dp[$0, $1] - mean[$0])
    }
    return (dr * weight, dr.transposed * x)
  }
}
