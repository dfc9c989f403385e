import MGLU
import Testing

@Suite struct MaskFitTests {
  static func host() throws -> CPUBackend { try CPUBackend(threads: 2) }

  /// X^T X of correlated inputs: neighbors share most of what they are.
  static func hessian(_ h: Int, samples: Int, on host: CPUBackend) -> Tensor {
    var random = Philox(seed: 3, purpose: .synthetic)
    let result = host.allocate { $0.tensor([h, h]) }
    for _ in 0..<samples {
      var x: [Float] = []
      for _ in 0..<h { x.append(0.8 * (x.last ?? 0) + random.nextNormal()) }
      for i in 0..<h { for j in 0..<h { result.floats[i * h + j] += x[i] * x[j] } }
    }
    return result
  }

  static func matrix(_ rows: Int, _ columns: Int, seed: UInt64, on host: CPUBackend) -> Tensor {
    var random = Philox(seed: seed, purpose: .synthetic)
    let result = host.allocate { $0.tensor([rows, columns]) }
    result.assign((0..<rows * columns).map { _ in random.nextNormal() })
    return result
  }

  /// U^T U (H + shift) is the identity, and U is upper triangular; also of inputs that never vary.
  @Test(arguments: [1, 2, 7, 65, 130], [300, 4, 0])
  func factorIsThatOfTheInverse(h: Int, samples: Int) throws {
    let host = try Self.host()
    let hessian = Self.hessian(h, samples: samples, on: host)
    let factor = try #require(InverseCholesky.factor(of: hessian, damping: 0.01, on: host))
    let mean = (0..<h).reduce(0.0) { $0 + Double(hessian.floats[$1 * h + $1]) } / Double(h)
    let shift = mean > 0 ? 0.01 * mean : 1
    let u = factor.array.map(Double.init)
    for i in 0..<h {
      for j in 0..<i { #expect(u[i * h + j] == 0) }
      for j in 0..<h {
        var sum = 0.0
        for k in 0..<h {
          let inverse = (0...min(i, k)).reduce(0.0) { $0 + u[$1 * h + i] * u[$1 * h + k] }
          sum += inverse * (Double(hessian.floats[k * h + j]) + (k == j ? shift : 0))
        }
        // float32 factors of a matrix whose condition is some 1e4.
        #expect(abs(sum - (i == j ? 1 : 0)) < 2e-3)
      }
    }
  }

  @Test func aMatrixWithoutFactorIsRefused() throws {
    let host = try Self.host()
    let matrix = host.allocate { $0.tensor([2, 2]) }
    matrix.assign([1, 3, 3, 1])
    #expect(InverseCholesky.factor(of: matrix, damping: 0.01, on: host) == nil)
    matrix.assign([1, .nan, .nan, 1])
    #expect(InverseCholesky.factor(of: matrix, damping: 0.01, on: host) == nil)
  }

  /// With the targets that the choices before it leave, in float64, no bits and no weight cost less
  /// than those of an element: this holds only if errors are passed on rightly too. More columns than
  /// are computed together, and rows that nothing depends on.
  @Test(arguments: [1, 2, 4, 5], [1, 64, 131])
  func everyElementIsTheBest(masks n: Int, h: Int) throws {
    let host = try Self.host()
    let d = 7
    let (gate, value) = (
      Self.matrix(d, h, seed: 5, on: host), Self.matrix(d, h, seed: 6, on: host)
    )
    let hessian = Self.hessian(h, samples: 500, on: host)
    let factor = try #require(InverseCholesky.factor(of: hessian, damping: 0.01, on: host))
    let sensitivity = MaskFit.Sensitivity(
      gate: [1, 0.5, 2, 0.1, 1e-3, 0, 3], value: [1, 2, 0.3, 0.2, 1, 0, 1e-4])
    let fit = MaskFit(masks: n)
    let result = fit.fit(
      gate: gate, value: value, inputSquares: (0..<h).map { hessian.floats[$0 * h + $0] },
      factor: factor, sensitivity: sensitivity, on: host)
    let lambda = Double(fit.spread)
    let u = factor.array.map(Double.init)
    for row in 0..<d where row != 5 {
      let (a, b) = (Double(sensitivity.gate[row]), Double(sensitivity.value[row]))
      var gates = (0..<n).map { _ in (0..<h).map { Double(gate.floats[row * h + $0]) } }
      var values = (0..<h).map { Double(value.floats[row * h + $0] * result.valueSigns[row]) }
      for j in 0..<h {
        let mean = gates.reduce(0) { $0 + $1[j] } / Double(n)
        func cost(_ bits: [Bool], _ w: Double) -> Double {
          let p = Double(bits.filter(\.self).count) / Double(n)
          var spread = 0.0
          for (bit, gate) in zip(bits, gates) {
            let difference = ((bit ? 1 : 0) - p) * w - (gate[j] - mean)
            spread += difference * difference / Double(n)
          }
          let (gateError, valueError) = (p * w - mean, (1 - p) * w - values[j])
          return a * gateError * gateError + b * valueError * valueError
            + lambda * (a + b) * spread
        }
        let w = Double(result.weight.floats[row * h + j])
        let bits = (0..<n).map { result.signs.floats[($0 * d + row) * h + j] > 0 }
        var least = Double.infinity
        for pattern in 0..<(1 << n) {
          let other = (0..<n).map { pattern >> $0 & 1 == 1 }
          // A parabola through three points has its least here.
          let (y0, y1, y2) = (cost(other, 0), cost(other, 1), cost(other, -1))
          let (quadratic, linear) = ((y1 + y2) / 2 - y0, (y1 - y2) / 2)
          least = min(least, y0 - linear * linear / (4 * quadratic))
        }
        let size = a * mean * mean + b * values[j] * values[j] + lambda * (a + b)
        // Targets in float32 after h corrections.
        #expect(cost(bits, w) <= least + 1e-4 * size)
        let p = Double(bits.filter(\.self).count) / Double(n)
        let valueError = (values[j] - (1 - p) * w) / u[j * h + j]
        let errors = (0..<n).map { (gates[$0][j] - (bits[$0] ? w : 0)) / u[j * h + j] }
        for k in j + 1..<max(h, j + 1) {
          values[k] -= valueError * u[j * h + k]
          for mask in 0..<n { gates[mask][k] -= errors[mask] * u[j * h + k] }
        }
      }
    }
    #expect(result.weight.isFinite && result.signs.array.allSatisfy { abs($0) == 1 })
  }

  /// Where gate and value are opposite everywhere, negated values fit masks better.
  @Test func oppositeValuesAreNegated() throws {
    let host = try Self.host()
    let (d, h) = (3, 20)
    let gate = Self.matrix(d, h, seed: 8, on: host)
    let value = host.allocate { $0.tensor([d, h]) }
    value.assign(gate.array.enumerated().map { $0 < h ? $1 : -$1 })
    let factor = try #require(
      InverseCholesky.factor(
        of: Self.hessian(h, samples: 99, on: host), damping: 0.01, on: host))
    for masks in [1, 2, 3] {
      let result = MaskFit(masks: masks).fit(
        gate: gate, value: value, inputSquares: Array(repeating: 1, count: h), factor: factor,
        sensitivity: .init(gate: [1, 1, 1], value: [1, 1, 1]), on: host)
      #expect(result.valueSigns == (masks == 1 ? [1, 1, 1] : [1, -1, -1]))
    }
  }
}
