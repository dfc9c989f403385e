import MGLUCompute
import MGLUReference
import Testing

/// Activations and their slopes, element by element, under every instruction set.
@Suite struct ActivationTests {
  /// Near 0 a few roundings of 2^-24. In the lower tails e^x turns the rounding of x = -20 or of
  /// GELU's x^2 / 2 = 32 into some 2e-6 of the result; GELU's tail polynomial adds 1e-7.
  static let bound = 5e-6
  /// Below this no digits are asked for: the exponential stops at e^-87.
  static let smallest = 1e-30

  @Test(arguments: CPUBackend.instructionSets, Activation.allCases)
  func valuesAndSlopesAgreeWithFloat64(name: String, activation: Activation) throws {
    let backend = try CPUBackend(threads: 1, instructionSet: name, usesBLAS: false)
    let arguments: [Float] =
      (-160...160).map { Float($0) / 20 } + [-0.0, 1e-20, -1e-20, 20, -20, 80, 1e4, 1e18]
    let values = try apply(activation, to: arguments, on: backend)
    for (index, x) in arguments.enumerated() {
      let (value, slope) = (activation.value(Double(x)), activation.slope(Double(x)))
      #expect(
        abs(Double(values.value[index]) - value) <= Self.bound * max(abs(value), Self.smallest),
        "g(\(x)) is \(value)")
      // A slope crosses 0 near a minimum of g, where its terms of order 0.1 cancel.
      #expect(
        abs(Double(values.slope[index]) - slope) <= Self.bound * max(abs(slope), 0.1),
        "g'(\(x)) is \(slope)")
    }
  }

  @Test(arguments: CPUBackend.instructionSets, Activation.allCases)
  func notANumberStaysOne(name: String, activation: Activation) throws {
    let backend = try CPUBackend(threads: 1, instructionSet: name, usesBLAS: false)
    for count in [1, 5, 16, 33] {
      var arguments = [Float](repeating: 1, count: count)
      arguments[count - 1] = .nan
      let values = try apply(activation, to: arguments, on: backend).value
      #expect(values[count - 1].isNaN)
      #expect(values.dropLast().allSatisfy { !$0.isNaN })
    }
  }

  /// g(x) and g'(x) through the plain unit, a = g(t).
  private func apply(
    _ activation: Activation, to arguments: [Float], on backend: CPUBackend
  ) throws -> (value: [Float], slope: [Float]) {
    let count = arguments.count
    let (t, a, upstream) = backend.allocate { layout in
      (layout.tensor([1, count]), layout.tensor([1, count]), layout.tensor([1, count]))
    }
    t.assign(arguments)
    upstream.assign(repeatElement(1, count: count))
    backend.combine(t, gating: .linear, activation: activation, routes: nil, into: a)
    backend.combineBackward(
      upstream, streams: t, gating: .linear, activation: activation, routes: nil,
      streamsGradient: t, routesGradient: nil)
    backend.synchronize()
    return (a.array, t.array)
  }
}
