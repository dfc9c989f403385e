import MGLUModel

/// What a kernel made of many cases, against the float64 reference.
package struct Finding: Sendable, Encodable {
  /// What was computed.
  package let kernel: String
  /// What computed it: an instruction set, or a GPU's generation.
  package let instructionSet: String
  /// The type of the weights.
  package let weights: String
  /// What the products saw of their inputs.
  package let activations: String
  /// How many cases were computed.
  package private(set) var cases = 0
  /// The largest error relative to its bound: more than 1 is a miss.
  package private(set) var worstShare = 0.0
  /// The relative error of that case.
  package private(set) var worstError = 0.0
  /// The bound of that case.
  package private(set) var bound = 0.0
  /// Its shape.
  package private(set) var worstCase = ""

  /// Whether every case is within its bound.
  package var isWithin: Bool { cases > 0 && worstShare < 1 }

  init(
    _ kernel: String, on instructionSet: String, weights: WeightType = .float32,
    activations: InputPrecision = .exact
  ) {
    self.kernel = kernel
    self.instructionSet = instructionSet
    self.weights = weights.rawValue
    self.activations = activations.rawValue
  }

  /// Adds a case.
  mutating func add(
    _ result: ReferenceMatrix, expected: ReferenceMatrix, bound: Double, floor: Double = 0,
    _ name: @autoclosure () -> String
  ) {
    add(error: relativeError(result, expected, floor: floor), bound: bound, name())
  }

  /// Adds a case whose error is known: infinite where something is not what it must be.
  mutating func add(error: Double, bound: Double, _ name: @autoclosure () -> String) {
    cases += 1
    guard error / bound > worstShare || cases == 1 else { return }
    (worstError, self.bound, worstShare, worstCase) = (error, bound, error / bound, name())
  }
}
