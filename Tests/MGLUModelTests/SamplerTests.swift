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

  static func draw(_ configuration: SamplerConfiguration, _ count: Int) throws -> [Int] {
    var sampler = try Sampler(configuration)
    var counts = [Int](repeating: 0, count: logits.count)
    for _ in 0..<count { counts[Int(sampler.sample(logits.span))] += 1 }
    return counts
  }

  // 20,000 draws: five standard deviations of a share p are 5 sqrt(p (1 - p) / 20000) <= 0.018.
  static let distributions: [(SamplerConfiguration, [Float])] = [
    (SamplerConfiguration(temperature: 1), shares),
    (SamplerConfiguration(temperature: 0.5), [1, 64, 4, 1, 16].map { $0 / 86 }),
    (SamplerConfiguration(temperature: 1, topK: 2), [0, 2 / 3, 0, 0, 1 / 3]),
    (SamplerConfiguration(temperature: 1, topP: 0.8), [0, 4 / 7, 1 / 7, 0, 2 / 7]),
    // Top-p is of what top-k left: 0.5 + 0.25 of 0.875 reach 0.85.
    (SamplerConfiguration(temperature: 1, topK: 3, topP: 0.85), [0, 2 / 3, 0, 0, 1 / 3]),
    (SamplerConfiguration(temperature: 1, minP: 0.2), [0, 4 / 7, 1 / 7, 0, 2 / 7]),
    // A tie at the edge of top-k: the lower id counts as more probable.
    (
      SamplerConfiguration(temperature: 1, topK: 4),
      [0.0625, 0.5, 0.125, 0, 0.25].map { $0 / 0.9375 }
    ),
  ]

  @Test(arguments: distributions)
  func drawsFollowTheDistribution(configuration: SamplerConfiguration, expected: [Float]) throws {
    let counts = try Self.draw(configuration, 20_000)
    for (count, share) in zip(counts, expected) {
      #expect(abs(Float(count) / 20_000 - share) < 0.018)
      #expect((count == 0) == (share == 0))
    }
  }

  @Test func zeroTemperatureTakesTheLargestAndTheFirstOfEqualOnes() throws {
    var sampler = try Sampler(SamplerConfiguration())
    #expect(sampler.sample(Self.logits.span) == 1)
    let ties: [Float] = [.nan, 2, 2, -.infinity]
    #expect(sampler.sample(ties.span) == 1)
  }

  @Test func equalSeedsDrawEqualTokens() throws {
    let seeds = [UInt64(1), 1, 2]
    let drawn = try seeds.map { seed in
      var sampler = try Sampler(SamplerConfiguration(temperature: 1, seed: seed))
      return (0..<64).map { _ in sampler.sample(Self.logits.span) }
    }
    #expect(drawn[0] == drawn[1] && drawn[0] != drawn[2])
  }

  @Test(arguments: [
    SamplerConfiguration(temperature: -1), SamplerConfiguration(temperature: .nan),
    SamplerConfiguration(topK: -1), SamplerConfiguration(topP: 0),
    SamplerConfiguration(topP: 1.5), SamplerConfiguration(minP: -0.1),
    SamplerConfiguration(minP: 2),
  ])
  func settingsOutOfRangeAreRefused(configuration: SamplerConfiguration) {
    #expect(throws: GenerationError.self) { try Sampler(configuration) }
  }
}
