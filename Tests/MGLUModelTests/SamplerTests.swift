import Foundation
import MGLUModel
import Testing

@Suite struct SamplerTests {
  /// Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625 at temperature 1, in a scrambled order.
  static let shares: [Float] = [0.0625, 0.5, 0.125, 0.0625, 0.25]
  static let logits = shares.map { logarithm($0) }

  static func logarithm(_ share: Float) -> Float {
    // Powers of two have exact logarithms up to one rounding.
    Float(share.exponent) * 0.6931472
  }

  static func draw(_ configuration: SamplingParameters, _ count: Int) throws -> [Int] {
    var sampler = try Sampler(configuration)
    var counts = [Int](repeating: 0, count: logits.count)
    for _ in 0..<count { counts[Int(sampler.sample(logits.span))] += 1 }
    return counts
  }

  // 20,000 draws: five standard deviations of a share p are 5 sqrt(p (1 - p) / 20000) <= 0.018.
  static let distributions: [(SamplingParameters, [Float])] = [
    (SamplingParameters(temperature: 1), shares),
    (SamplingParameters(temperature: 0.5), [1, 64, 4, 1, 16].map { $0 / 86 }),
    (SamplingParameters(temperature: 1, topK: 2), [0, 2 / 3, 0, 0, 1 / 3]),
    (SamplingParameters(temperature: 1, topP: 0.8), [0, 4 / 7, 1 / 7, 0, 2 / 7]),
    // Top-p is of what top-k left: 0.5 + 0.25 of 0.875 reach 0.85.
    (SamplingParameters(temperature: 1, topK: 3, topP: 0.85), [0, 2 / 3, 0, 0, 1 / 3]),
    (SamplingParameters(temperature: 1, minP: 0.2), [0, 4 / 7, 1 / 7, 0, 2 / 7]),
    // A tie at the edge of top-k, and of top-p: both are kept.
    (SamplingParameters(temperature: 1, topK: 4), shares),
    (SamplingParameters(temperature: 1, topP: 0.9), shares),
  ]

  @Test(arguments: distributions)
  func drawsFollowTheDistribution(configuration: SamplingParameters, expected: [Float]) throws {
    let counts = try Self.draw(configuration, 20_000)
    for (count, share) in zip(counts, expected) {
      #expect(abs(Float(count) / 20_000 - share) < 0.018)
      #expect((count == 0) == (share == 0))
    }
  }

  /// Where tokens are dropped, the draw still falls among the others in the order of their ids, as on
  /// a GPU: a seed writes the same text there. A top-k beyond every float drops nothing.
  @Test(arguments: [(0, 1), (.max, 1), (3, 1), (0, 0.8)] as [(Int, Float)])
  func drawsFallInTheOrderOfTheTokens(topK: Int, topP: Float) {
    var choice = SamplingStep(temperature: 1, topK: topK, topP: topP, minP: 0, uniform: 0)
    var chooser = HostSampler()
    let drawn = (0..<100).map { index in
      choice.uniform = Float(index) / 100
      return chooser.token(of: Self.logits.span, by: choice)
    }
    #expect(drawn == drawn.sorted() && Set(drawn).count == (topK == 3 || topP < 1 ? 3 : 5))
    let elements = choice.elements
    #expect(elements.allSatisfy { $0.isFinite })
  }

  /// Against sorting all of them: random probabilities, many of them equal.
  @Test(arguments: [1, 7, 50, 400], [0.3, 0.9, 1] as [Float])
  func whatIsKeptIsTheMostProbable(topK: Int, topP: Float) {
    var random = Philox(seed: 3, purpose: .synthetic)
    let logits = (0..<1000).map { _ in (random.nextNormal() * 8).rounded() / 4 }
    let sorted = logits.sorted(by: >)
    var kept = sorted.filter { $0 >= sorted[topK - 1] }
    let mass = kept.reduce(0) { $0 + exponential($1) } * Double(topP)
    var sum = 0.0
    // A last digit more or less is no matter: equal ones are kept together.
    let least =
      kept.first {
        sum += exponential($0); return sum >= mass * (1 - 1e-6)
      } ?? kept.last!
    kept = kept.filter { $0 >= least }
    var choice = SamplingStep(temperature: 1, topK: topK, topP: topP, minP: 0, uniform: 0)
    var chooser = HostSampler()
    var found: Set<Float> = []
    for index in 0..<4000 {
      choice.uniform = (Float(index) + 0.5) / 4000
      found.insert(logits[Int(chooser.token(of: logits.span, by: choice))])
    }
    #expect(found == Set(kept))
  }

  private func exponential(_ x: Float) -> Double { exp(Double(x)) }

  @Test func zeroTemperatureTakesTheLargestAndTheFirstOfEqualOnes() throws {
    var sampler = try Sampler(SamplingParameters())
    #expect(sampler.sample(Self.logits.span) == 1)
    let ties: [Float] = [.nan, 2, 2, -.infinity]
    #expect(sampler.sample(ties.span) == 1)
    let nothing: [Float] = [.nan, .nan]
    #expect(sampler.sample(nothing.span) == -1)
  }

  @Test func equalSeedsDrawEqualTokens() throws {
    let seeds = [UInt64(1), 1, 2]
    let drawn = try seeds.map { seed in
      var sampler = try Sampler(SamplingParameters(temperature: 1, seed: seed))
      return (0..<64).map { _ in sampler.sample(Self.logits.span) }
    }
    #expect(drawn[0] == drawn[1] && drawn[0] != drawn[2])
  }

  @Test(arguments: [
    SamplingParameters(temperature: -1), SamplingParameters(temperature: .nan),
    SamplingParameters(topK: -1), SamplingParameters(topP: -0.5),
    SamplingParameters(topP: 1.5), SamplingParameters(minP: -0.1),
    SamplingParameters(minP: 2),
  ])
  func settingsOutOfRangeAreRefused(configuration: SamplingParameters) {
    #expect(throws: GenerationError.self) { try Sampler(configuration) }
  }
}

extension Sampler {
  /// The next token of `logits`, as the host samples it.
  fileprivate mutating func sample(_ logits: Span<Float>) -> Int32 {
    var host = HostSampler()
    return host.token(of: logits, by: nextStep())
  }
}
