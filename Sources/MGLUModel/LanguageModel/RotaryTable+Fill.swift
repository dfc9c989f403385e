#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension RotaryTable {
  /// The table of all positions of a model, where `backend` computes.
  ///
  /// - Throws: where no memory holds it: the context is what a file says it is.
  static func of(
    _ c: ModelConfiguration, on backend: any Backend
  ) throws(ConfigurationError) -> RotaryTable {
    do {
      try PhysicalMemory.require(
        4 * Double(c.contextLength) * Double(c.attention.rotarySize),
        for: "the rotary positions of a context of \(c.contextLength)",
        remedy: "choose a shorter context (max_position_embeddings in config.json)")
    } catch {
      throw ConfigurationError(.size, error.message, remedy: error.remedy)
    }
    let table = backend.host.allocate {
      RotaryTable(positions: c.contextLength, rotarySize: c.attention.rotarySize, in: &$0)
    }
    table.fill(theta: c.ropeTheta, scaling: c.ropeScaling)
    return table.toDevice(on: backend)
  }

  /// cos and sin of position * theta^(-2 i / rotarySize), scaled, computed in float64.
  package func fill(theta: Double, scaling: RopeScaling? = nil) {
    let half = cosine.columns
    let frequencies = RopeScaling.frequencies(theta: theta, pairs: half, scaling)
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
