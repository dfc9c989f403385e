import MGLUModel

/// The same twice: where a backend computes, and on the host.
struct Twin<Value> {
  let found: Value
  let expected: Value

  func map<Other>(_ transform: (Value) -> Other) -> Twin<Other> {
    Twin<Other>(found: transform(found), expected: transform(expected))
  }
}

/// Operations of training on a backend, and on the same elements on the CPU.
///
/// Where the backend stores BF16, inputs are rounded to it for both, and the CPU goes on in float32:
/// what the two differ by is what the backend rounds and in which order it adds.
package final class BackendComparison {
  let backend: any TrainingBackend
  let host: CPUBackend
  private var random = Philox(seed: 17, purpose: .synthetic)

  /// Relative to a number: to the nearest of 8 bits.
  static let rounding = 0x1p-8
  /// Of float32 results, relative to the largest of them: sums of some thousand terms in another
  /// order, a GPU's fast exponential, and its tensor cores, which drop bits in place of rounding.
  static let exact = 1e-5

  init(_ backend: any TrainingBackend, against host: CPUBackend) {
    self.backend = backend
    self.host = host
  }

  /// The type of weights, activations and their gradients on the backend.
  var narrow: DataType { backend.productType }

  // Tensors --------------------------------------------------------------------------------------

  func tensor(
    _ shape: [Int], _ type: DataType = .float32, _ values: some Collection<Float>
  ) -> Twin<Tensor> {
    let wide = host.allocate { $0.tensor(shape) }
    wide.assign(values)
    let stored = host.converted(
      StoredMatrix(weights: wide), to: type == .float32 ? .float32 : .bfloat16)
    let expected = host.allocate { $0.tensor(shape) }
    host.dequantize(stored, into: expected)
    return Twin(found: moved(stored.weights.reshaped(shape)), expected: expected)
  }

  /// N(0, scale^2).
  func normal(_ shape: [Int], _ type: DataType = .float32, scale: Float = 1) -> Twin<Tensor> {
    tensor(shape, type, (0..<shape.reduce(1, *)).map { _ in random.nextNormal() * scale })
  }

  /// What is to be overwritten: nothing of it may be left.
  func output(_ shape: [Int], _ type: DataType = .float32) -> Twin<Tensor> {
    tensor(shape, type, repeatElement(7, count: shape.reduce(1, *)))
  }

  func integers(_ values: [Int32]) -> Twin<Tensor> {
    let expected = host.allocate { $0.tensor([values.count], .int32) }
    expected.assign(integers: values)
    return Twin(found: moved(expected), expected: expected)
  }

  func double(_ value: Double) -> Twin<Tensor> {
    let expected = host.allocate { $0.tensor([1], .float64) }
    expected.doubles[0] = value
    return Twin(found: moved(expected), expected: expected)
  }

  /// The element of a tensor of float64 on the backend.
  func double(_ tensor: Tensor) -> Double {
    let own = backend.onHost(tensor)
    return withExtendedLifetime(own) { own.doubles[0] }
  }

  func rotaryTable(positions: Int, rotarySize: Int) -> Twin<RotaryTable> {
    let table = host.allocate {
      RotaryTable(positions: positions, rotarySize: rotarySize, in: &$0)
    }
    table.fill(theta: 10_000)
    return Twin(found: table.toDevice(on: backend), expected: table)
  }

  private func moved(_ tensor: Tensor) -> Tensor {
    let copy = backend.allocate { $0.tensor(tensor.shape, tensor.dataType) }
    backend.copy(tensor, into: copy)
    // The host's elements may go when this returns.
    backend.synchronize()
    return copy
  }

  /// The elements of a tensor of the backend as float32.
  func floats(_ tensor: Tensor) -> [Float] {
    host.converted(StoredMatrix(weights: backend.onHost(tensor)), to: .float32).weights.array
  }

  // Operations -----------------------------------------------------------------------------------

  /// One of the two.
  struct Side {
    let backend: any TrainingBackend
    fileprivate let isHost: Bool

    subscript<Value>(_ twin: Twin<Value>) -> Value { isHost ? twin.expected : twin.found }
  }

  /// Computes the same on both sides.
  func compute(_ body: (Side) -> Void) {
    body(Side(backend: backend, isHost: false))
    body(Side(backend: host, isHost: true))
  }

  /// Compares a result.
  ///
  /// - Parameters:
  ///   - result: What both sides computed.
  ///   - roundings: How many roundings to BF16 lie between inputs and result: none of a float32
  ///     result; the result's own, which is relative to each element; or others before it, whose
  ///     errors sums bring to elements of any size, so that they are relative to the largest.
  ///   - finding: Where to.
  ///   - name: The case.
  func compare(
    _ result: Twin<Tensor>, roundings: Int = 0, in finding: inout Finding,
    _ name: @autoclosure () -> String
  ) throws {
    let found = floats(result.found)
    try backend.finish()
    let rounds = narrow != .float32 && roundings > 0
    finding.add(
      error: Self.error(
        found, result.expected.array,
        floor: rounds && roundings == 1 ? Self.exact / Self.rounding : 1),
      bound: rounds ? Double(roundings) * Self.rounding : Self.exact, name())
  }

  /// The largest |a - b| / (|b| + floor max |b|).
  package static func error(_ found: [Float], _ expected: [Float], floor: Double) -> Double {
    guard found.count == expected.count, found.allSatisfy(\.isFinite) else { return .infinity }
    let least = floor * Double(expected.reduce(0) { max($0, abs($1)) })
    return zip(found, expected).reduce(0) { worst, pair in
      let difference = abs(Double(pair.0) - Double(pair.1))
      return difference == 0 ? worst : max(worst, difference / (abs(Double(pair.1)) + least))
    }
  }
}
