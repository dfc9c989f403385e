import RealModule

/// The cross-entropy of a language model in float64.
package enum ReferenceLoss {
  /// -log softmax(z)[target] of each row of z `[n, V]`, in nats, and the gradient of their sum,
  /// softmax(z) - onehot(target). A negative target counts nothing.
  package static func crossEntropy(
    _ logits: ReferenceMatrix, targets: [Int32]
  ) -> (losses: [Double], gradient: ReferenceMatrix) {
    precondition(targets.count == logits.rows, "\(targets.count) targets, \(logits.rows) rows")
    var losses = [Double](repeating: 0, count: logits.rows)
    var gradient = logits.zeros
    for (row, target) in targets.enumerated() where target >= 0 {
      let z = logits.rows(row..<row + 1).elements
      let top = z.reduce(-.infinity, max)
      let logSumExp = top + .log(z.reduce(0) { $0 + .exp($1 - top) })
      losses[row] = logSumExp - z[Int(target)]
      for index in z.indices { gradient[row, index] = .exp(z[index] - logSumExp) }
      gradient[row, Int(target)] -= 1
    }
    return (losses, gradient)
  }
}
