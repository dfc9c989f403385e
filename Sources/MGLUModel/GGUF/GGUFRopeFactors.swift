#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Llama 3's scaling of rotary frequencies. GGUF files have it as the factor by which each frequency
/// is divided, Hugging Face as the four numbers that the factors are made of.
package enum GGUFRopeFactors {
  /// The factors of `scaling` for heads of `headSize`.
  package static func factors(
    of scaling: RopeScaling, theta: Double, headSize: Int
  ) -> [Float] {
    (0..<headSize / 2).map {
      let frequency = pow(theta, -Double($0) / Double(headSize / 2))
      return Float(frequency / scaling.scaled(frequency))
    }
  }

  /// The keys of the scaling whose factors these are.
  ///
  /// - Throws: where no scaling of Llama 3's kind has them.
  static func llama3Keys(
    _ factors: [Float], theta: Double, of file: GGUFFile
  ) throws(CheckpointError) -> [(String, JSONValue)] {
    // The slowest frequencies are divided by the whole factor, in all but small models.
    let candidates = [Double(factors.max() ?? 1), 2, 4, 8, 16, 32, 64]
    let originals = (9...17).map { 1 << $0 }
    for (factor, original) in candidates.flatMap({ a in originals.map { (a, $0) } })
    where factor >= 1 && factor.isFinite {
      let scaling = RopeScaling.llama3(
        factor: factor, lowFrequency: 1, highFrequency: 4, original: original)
      let expected = Self.factors(of: scaling, theta: theta, headSize: 2 * factors.count)
      guard zip(expected, factors).allSatisfy({ abs($0 - $1) <= 1e-4 * abs($1) }) else { continue }
      return [
        ("rope_type", .string("llama3")), ("factor", .number(factor)),
        ("low_freq_factor", .number(1)), ("high_freq_factor", .number(4)),
        ("original_max_position_embeddings", .integer(original)),
      ]
    }
    throw file.malformed(
      "rope_freqs.weight", "has factors that Llama 3's scaling (1 to 4 turns) does not give")
  }
}
