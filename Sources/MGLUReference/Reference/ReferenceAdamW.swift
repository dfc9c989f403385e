import RealModule

/// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019) in float64, after clipping the
/// gradients' global norm.
///
///     g <- g min(1, clipNorm / ||g||)
///     m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
///     w <- w - rate decay w - rate (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + epsilon)
package struct ReferenceAdamW: Sendable {
  /// b1.
  package var beta1: Double
  /// b2.
  package var beta2: Double
  /// Added to the root of the second moment.
  package var epsilon: Double
  /// The largest global norm; infinity clips nothing.
  package var clipNorm: Double
  /// Steps taken.
  package private(set) var steps = 0
  private var firstMoments: [String: ReferenceMatrix] = [:]
  private var secondMoments: [String: ReferenceMatrix] = [:]

  /// Fresh state.
  package init(beta1: Double, beta2: Double, epsilon: Double, clipNorm: Double = .infinity) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.clipNorm = clipNorm
  }

  /// Updates every parameter that has a gradient, and returns the global norm before clipping.
  ///
  /// - Parameters:
  ///   - parameters: Matrices by name.
  ///   - gradients: Their gradients.
  ///   - learningRate: The rate of this step.
  ///   - decay: The weight decay of the parameter of a name.
  @discardableResult
  package mutating func step(
    _ parameters: inout [String: ReferenceMatrix], gradients: [String: ReferenceMatrix],
    learningRate: Double, decay: (_ name: String) -> Double
  ) -> Double {
    steps += 1
    // In the order of the names, because a dictionary's own differs from run to run.
    let ordered = gradients.sorted { $0.key < $1.key }
    let norm = ordered.reduce(0) { $0 + $1.value.dot($1.value) }.squareRoot()
    let clip = norm > clipNorm ? clipNorm / norm : 1
    let correction1 = 1 - Double.pow(beta1, steps)
    let correction2 = 1 - Double.pow(beta2, steps)
    for (name, gradient) in ordered {
      guard let weight = parameters[name] else { continue }
      let g = clip * gradient
      let m = beta1 * (firstMoments[name] ?? g.zeros) + (1 - beta1) * g
      let v = beta2 * (secondMoments[name] ?? g.zeros) + (1 - beta2) * (g .* g)
      (firstMoments[name], secondMoments[name]) = (m, v)
      let denominator = v.map { ($0 / correction2).squareRoot() + epsilon }
      let update = ReferenceMatrix(rows: g.rows, columns: g.columns) {
        m[$0, $1] / correction1 / denominator[$0, $1]
      }
      parameters[name] =
        weight - learningRate * decay(name) * weight - learningRate * update
    }
    return norm
  }
}
