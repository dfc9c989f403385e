#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The sampling of one token from logits: temperature, then top-k, top-p and min-p in that order (that
/// of Hugging Face transformers), then a draw.
public struct SamplingStep: Sendable, Equatable {
  /// Divides the logits; 0 always takes the largest.
  public var temperature: Float
  /// Keep the K most probable tokens, and those as probable as the last of them; 0 keeps all.
  public var topK: Int
  /// Keep the smallest set of most probable tokens whose probabilities reach this sum; 1 keeps all.
  public var topP: Float
  /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
  public var minP: Float
  /// Where among the kept tokens the draw falls, 0 to 1.
  public var uniform: Float

  /// Creates a step.
  public init(temperature: Float, topK: Int, topP: Float, minP: Float, uniform: Float) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.uniform = uniform
  }

  /// The largest logit.
  public static let greedy = SamplingStep(
    temperature: 0, topK: 0, topP: 1, minP: 0, uniform: 0)

  /// What stands in a token's place until it is sampled.
  public static let pending = Int32.min

  /// How many elements describe a step to a backend.
  public static let elementCount = 5

  /// The elements that describe this step to a backend. A top-k beyond 2^24, which a float cannot
  /// count to, is that: it keeps every token of any vocabulary that fits memory.
  public var elements: [Float] { [temperature, Float(min(topK, 1 << 24)), topP, minP, uniform] }

  /// The step that `elements` describe.
  init(elements: Span<Float>) {
    self.init(
      temperature: elements[0], topK: Int(elements[1]), topP: elements[2], minP: elements[3],
      uniform: elements[4])
  }
}

/// Samples tokens on the host, in memory that it keeps.
public struct HostSampler: Sendable {
  private var candidates: [(id: Int32, probability: Float)] = []

  /// A sampler without memory yet.
  public init() {}

  /// The token of `logits` `[V]`. Equal logits: the lower id counts as larger. Not-a-number is never
  /// sampled; where nothing else is there, the token is -1.
  public mutating func token(of logits: Span<Float>, by step: SamplingStep) -> Int32 {
    let best = Self.greedy(logits)
    if logits[best].isNaN { return -1 }
    guard step.temperature > 0 else { return Int32(best) }
    keepCandidates(logits, largest: logits[best], step)
    // In float64: of a large vocabulary's float32 sums the last places differ from device to device.
    let total = candidates.reduce(0) { $0 + Double($1.probability) }
    var left = Double(step.uniform) * total
    for candidate in candidates {
      left -= Double(candidate.probability)
      if left < 0 { return candidate.id }
    }
    return candidates.last?.id ?? Int32(best)
  }

  /// The first of the largest logits: sixteen at a time, then among the sixteen that hold it.
  private static func greedy(_ logits: Span<Float>) -> Int {
    typealias Lanes = SIMD16<Float>
    let wide = logits.count / Lanes.scalarCount * Lanes.scalarCount
    // Where no number lies above -infinity, all are looked at.
    var first = 0..<wide
    logits.withUnsafeBufferPointer { all in
      let base = UnsafeRawBufferPointer(all)
      func lanes(_ index: Int) -> Lanes {
        base.loadUnaligned(fromByteOffset: 4 * index, as: Lanes.self)
      }
      var largest = Lanes(repeating: -.infinity)
      for index in stride(from: 0, to: wide, by: Lanes.scalarCount) {
        largest.replace(with: lanes(index), where: lanes(index) .> largest)
      }
      let value = Lanes(repeating: largest.max())
      for index in stride(from: 0, to: wide, by: Lanes.scalarCount)
      where any(lanes(index) .== value) {
        first = index..<index + Lanes.scalarCount
        break
      }
    }
    var best = first.lowerBound
    for range in [first, wide..<logits.count] {
      for index in range where logits[index] > logits[best] || logits[best].isNaN { best = index }
    }
    return best
  }

  /// Leaves the tokens that may be drawn, with their probabilities up to a common factor.
  private mutating func keepCandidates(
    _ logits: Span<Float>, largest: Float, _ step: SamplingStep
  ) {
    candidates.removeAll(keepingCapacity: true)
    for index in logits.indices {
      let probability = exp((logits[index] - largest) / step.temperature)
      if probability > 0 { candidates.append((Int32(index), probability)) }
    }
    truncate(step)
    // The most probable token has probability 1 here, so min-p is a plain threshold.
    if step.minP > 0 { candidates.removeAll { $0.probability < step.minP } }
  }

  /// Applies top-k, then top-p to what top-k left. Tokens as probable as the last one kept are kept
  /// too, and all stay in the order of their ids: so do transformers and the kernels for GPUs.
  private mutating func truncate(_ step: SamplingStep) {
    if step.topK > 0, step.topK < candidates.count {
      keep(reaching: Double(step.topK)) { _ in 1 }
    }
    if step.topP < 1 {
      let mass = candidates.reduce(0) { $0 + Double($1.probability) }
      keep(reaching: Double(step.topP) * mass) { Double($0) }
    }
  }

  /// Keeps the most probable tokens, as few as have a sum of weights of `target`.
  ///
  /// Probabilities go into bins by their exponent and three bits more, so that only those of one bin
  /// are sorted: a vocabulary takes two walks and no sorting of its own.
  private mutating func keep(reaching target: Double, _ weight: (Float) -> Double) {
    func bin(_ probability: Float) -> Int { Int(probability.bitPattern >> 20) }
    var bins = [Double](repeating: 0, count: bin(1) + 1)
    for candidate in candidates {
      bins[bin(candidate.probability)] += weight(candidate.probability)
    }
    var (last, above) = (bins.count - 1, 0.0)
    while last > 0, above + bins[last] < target {
      above += bins[last]
      last -= 1
    }
    var least: Float = 0
    for probability in candidates.map(\.probability).filter({ bin($0) == last }).sorted(by: >) {
      least = probability
      above += weight(probability)
      if above >= target { break }
    }
    candidates.removeAll { $0.probability < least }
  }
}
