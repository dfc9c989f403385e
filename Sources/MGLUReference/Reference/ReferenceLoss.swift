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

  /// (1 - s) of the cross-entropy and s T² KL(softmax(y / T), softmax(z / T)) of each row of z, y the
  /// teacher's logits `[n, V]`, and the gradient of their sum with respect to z.
  package static func distillation(
    _ logits: ReferenceMatrix, teacher: ReferenceMatrix, targets: [Int32], share s: Double,
    temperature t: Double
  ) -> (losses: [Double], gradient: ReferenceMatrix) {
    var (losses, gradient) = crossEntropy(logits, targets: targets)
    for (row, target) in targets.enumerated() where target >= 0 {
      func logProbabilities(_ matrix: ReferenceMatrix) -> [Double] {
        let z = matrix.rows(row..<row + 1).elements.map { $0 / t }
        let top = z.reduce(-.infinity, max)
        let logSumExp = top + .log(z.reduce(0) { $0 + .exp($1 - top) })
        return z.map { $0 - logSumExp }
      }
      let (p, q) = (logProbabilities(logits), logProbabilities(teacher))
      let divergence = zip(p, q).reduce(0) { $0 + .exp($1.1) * ($1.1 - $1.0) }
      losses[row] = (1 - s) * losses[row] + s * t * t * divergence
      for index in p.indices {
        gradient[row, index] =
          (1 - s) * gradient[row, index] + s * t * (.exp(p[index]) - .exp(q[index]))
      }
    }
    return (losses, gradient)
  }
}
