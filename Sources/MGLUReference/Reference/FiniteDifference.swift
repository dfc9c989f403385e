/// Gradients by central differences: what an analytic gradient is held against.
package enum FiniteDifference {
  /// The step that balances the two errors of a central difference in float64: truncation, of
  /// order step^2, and cancellation, of order 2^-52 / step.
  package static let step = 1e-5

  /// df/dx at `x` element by element: (f(x + step e) - f(x - step e)) / (2 step).
  ///
  /// Cost: two evaluations of `f` for every element.
  package static func gradient(
    at x: ReferenceMatrix, step: Double = step, of f: (ReferenceMatrix) -> Double
  ) -> ReferenceMatrix {
    var moved = x
    var gradient = x.zeros
    for index in x.elements.indices {
      moved.elements[index] = x.elements[index] + step
      let above = f(moved)
      moved.elements[index] = x.elements[index] - step
      let below = f(moved)
      moved.elements[index] = x.elements[index]
      gradient.elements[index] = (above - below) / (2 * step)
    }
    return gradient
  }
}
