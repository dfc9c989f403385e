#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The rotary positions of a model, which may turn at other frequencies in long contexts than in short
/// ones.
struct RotaryTables: Sendable {
  private let short: RotaryTable
  private let long: RotaryTable?
  private let shortContext: Int

  /// The positions for texts of up to `context` tokens.
  func table(context: Int) -> RotaryTable { context > shortContext ? long ?? short : short }

  /// All positions of a model, where `backend` computes.
  ///
  /// - Throws: where no memory holds them: the context is what a file says it is.
  init(_ c: ModelConfiguration, on backend: any Backend) throws(ConfigurationError) {
    shortContext = min(c.ropeScaling?.shortContext ?? c.contextLength, c.contextLength)
    let positions = shortContext < c.contextLength ? shortContext + c.contextLength : shortContext
    do {
      try PhysicalMemory.require(
        4 * Double(positions) * Double(c.attention.rotarySize),
        for: "the rotary positions of a context of \(c.contextLength)",
        remedy: "choose a shorter context (max_position_embeddings in config.json)")
    } catch {
      throw ConfigurationError(.size, error.message, remedy: error.remedy)
    }
    func table(context: Int) -> RotaryTable {
      let table = backend.host.allocate {
        RotaryTable(positions: context, rotarySize: c.attention.rotarySize, in: &$0)
      }
      table.fill(theta: c.ropeTheta, scaling: c.ropeScaling)
      return table.toDevice(on: backend)
    }
    short = table(context: shortContext)
    long = shortContext < c.contextLength ? table(context: c.contextLength) : nil
  }
}

extension RotaryTable {
  /// cos and sin of position * theta^(-2 i / rotarySize), scaled for a context of this table's length,
  /// computed in float64.
  package func fill(theta: Double, scaling: RopeScaling? = nil) {
    let half = cosine.columns
    let frequencies = RopeScaling.frequencies(
      theta: theta, pairs: half, scaling, context: cosine.rows)
    let factor = scaling?.attentionFactor ?? 1
    cosine.withMutableFloats { cosines in
      sine.withMutableFloats { sines in
        for position in 0..<cosine.rows {
          for (index, frequency) in frequencies.enumerated() {
            let angle = Double(position) * frequency
            cosines[position * half + index] = Float(factor * cos(angle))
            sines[position * half + index] = Float(factor * sin(angle))
          }
        }
      }
    }
  }
}
