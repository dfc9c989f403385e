#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a stream of random numbers is for: streams of different purposes never overlap.
public enum RandomPurpose: UInt32, Sendable {
  /// Initial parameters.
  case initialization = 1
  /// Which windows of the data a training step reads.
  case data = 2
  /// Sampling of generated tokens.
  case sampling = 3
  /// Test and benchmark inputs.
  case synthetic = 4
  /// Which rows a step of a conversion's tuning reads.
  case calibration = 5
}

/// Philox 4x32-10, the counter-based generator of Salmon et al. (SC 2011).
///
/// A stream is a pure function of (seed, purpose, step), so a resumed run draws what the
/// uninterrupted one would have drawn, without any stored state.
public struct Philox: RandomNumberGenerator, Sendable {
  private let key: SIMD2<UInt32>
  private var counter: SIMD4<UInt32>
  private var block = SIMD4<UInt32>()
  private var used = 4
  private var spareNormal: Float?

  /// The stream of `purpose` at `step` under `seed`.
  public init(seed: UInt64, purpose: RandomPurpose, step: UInt64 = 0) {
    self.init(seed: seed, purpose: purpose, step: step, skippingBlocks: 0)
  }

  /// The same stream behind its first blocks, of four words or four normal numbers each: parts of it may
  /// be drawn side by side.
  ///
  /// - Parameters:
  ///   - seed: The seed.
  ///   - purpose: What the numbers are for.
  ///   - step: Which stream of that purpose.
  ///   - blocks: How many blocks are skipped.
  package init(
    seed: UInt64, purpose: RandomPurpose, step: UInt64, skippingBlocks blocks: UInt64
  ) {
    let purposeKey = UInt64(purpose.rawValue) &* 0x9e37_79b9_7f4a_7c15
    key = Self.halves(seed ^ purposeKey)
    let (step, block) = (Self.halves(step), Self.halves(blocks))
    counter = SIMD4(block.x, block.y, step.x, step.y)
  }

  private static func halves(_ x: UInt64) -> SIMD2<UInt32> {
    SIMD2(UInt32(truncatingIfNeeded: x), UInt32(truncatingIfNeeded: x >> 32))
  }

  /// The block of four words that `counter` gives under `key`: ten rounds.
  package static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (x, k) = (counter, key)
    for round in 0..<10 {
      if round > 0 { k &+= SIMD2(0x9e37_79b9, 0xbb67_ae85) }
      let low = UInt64(x[0]) &* 0xd251_1f53
      let high = UInt64(x[2]) &* 0xcd9e_8d57
      x = SIMD4(
        UInt32(truncatingIfNeeded: high >> 32) ^ x[1] ^ k[0], UInt32(truncatingIfNeeded: high),
        UInt32(truncatingIfNeeded: low >> 32) ^ x[3] ^ k[1], UInt32(truncatingIfNeeded: low))
    }
    return x
  }

  /// The next 32 random bits.
  public mutating func nextWord() -> UInt32 {
    if used == 4 {
      block = Self.block(counter: counter, key: key)
      used = 0
      counter[0] &+= 1
      if counter[0] == 0 { counter[1] &+= 1 }
    }
    defer { used += 1 }
    return block[used]
  }

  /// The next two words, the first in the low half.
  public mutating func next() -> UInt64 {
    let low = UInt64(nextWord())
    return UInt64(nextWord()) << 32 | low
  }

  /// Uniform in [0, 1), a multiple of 2^-24.
  public mutating func nextUniform() -> Float { Float(nextWord() >> 8) * 0x1p-24 }

  /// Standard normal, by Box and Muller in float64.
  public mutating func nextNormal() -> Float {
    if let spare = spareNormal {
      spareNormal = nil
      return spare
    }
    let radius = (-2 * log((Double(nextWord()) + 1) * 0x1p-32)).squareRoot()
    let angle = 2 * Double.pi * Double(nextWord()) * 0x1p-32
    spareNormal = Float(radius * sin(angle))
    return Float(radius * cos(angle))
  }
}
