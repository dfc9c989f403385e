import MGLUModel
import MGLUServingTestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Log-probabilities against float64, on every instruction set of this machine.
struct LogprobTests {
  private static func logits(_ count: Int, scale: Float) -> [Float] {
    var random = Philox(seed: 9, purpose: .synthetic)
    return (0..<count).map { _ in random.nextNormal() * scale }
  }

  private static func token(
    _ id: Int32, under logits: [Float], top count: Int, on backend: CPUBackend
  ) -> TokenLogprob {
    let row = backend.allocate { $0.tensor([1, logits.count]) }
    row.assign(logits)
    return TokenLogprob(of: id, under: row, top: count, on: backend)
  }

  private static func logSumExp(_ logits: [Float]) -> Double {
    let largest = Double(logits.max()!)
    return largest + log(logits.reduce(0) { $0 + exp(Double($1) - largest) })
  }

  /// Errors are absolute, as probabilities are compared: 1e-6 of the sum, of which the exponentials
  /// take 2 ulp, and half an ulp of the sum's logarithm and of the difference, which are below 128.
  @Test(arguments: [1, 7, 16, 17, 1031, 50_257], [0.1, 5, 30] as [Float])
  func agreesWithFloat64(vocabulary: Int, scale: Float) throws {
    let logits = Self.logits(vocabulary, scale: scale)
    let expected = Self.logSumExp(logits)
    let id = vocabulary / 2
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 1, instructionSet: name)
      let token = Self.token(Int32(id), under: logits, top: 2, on: backend)
      let logprob = Double(try #require(token.logprob))
      let magnitude = Float(max(abs(expected), abs(logprob)))
      #expect(abs(logprob - (Double(logits[id]) - expected)) < 1e-6 + 2 * Double(magnitude.ulp))
      #expect(logprob <= 0)
    }
  }

  /// Equal rows have equal log-probabilities, bit for bit, wherever in memory they begin: 1031 is odd.
  @Test func doesNotDependOnTheAddress() throws {
    let row = Self.logits(1031, scale: 5)
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 1, instructionSet: name)
      let expected = Self.token(3, under: row, top: 5, on: backend)
      let rows = backend.allocate { $0.tensor([17, 1031]) }
      rows.assign([Float]((0..<17).map { _ in row }.joined()))
      for index in 0..<17 {
        let token = TokenLogprob(of: 3, under: rows[index..<index + 1], top: 5, on: backend)
        #expect(token == expected, "\(name), \(index)")
      }
    }
  }

  /// Logits of -infinity and NaN take no probability from other tokens.
  @Test func nonFiniteLogitsCountForNothing() throws {
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 1, instructionSet: name)
      var logits = [Float](repeating: -.infinity, count: 40)
      (logits[3], logits[20], logits[39]) = (1, .nan, 1)
      let token = Self.token(39, under: logits, top: 2, on: backend)
      let half = try #require(token.logprob)
      #expect(abs(half + log(Float(2))) < 1e-6)
      #expect(token.alternatives.map(\.id) == [3, 39])
      #expect(Self.token(20, under: logits, top: 0, on: backend).logprob == -9999)
      #expect(Self.token(0, under: logits, top: 0, on: backend).logprob == -9999)
      logits[7] = .infinity
      #expect(Self.token(3, under: logits, top: 0, on: backend).logprob == -9999)
      let none = [Float](repeating: .nan, count: 3)
      #expect(Self.token(0, under: none, top: 2, on: backend).logprob == -9999)
    }
  }
}
