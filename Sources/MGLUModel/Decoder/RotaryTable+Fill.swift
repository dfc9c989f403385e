#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension RotaryTable {
  /// cos and sin of position * theta^(-2 i / headSize), scaled, computed in float64.
  package func fill(theta: Double, scaling: RopeScaling? = nil) {
    let half = cosine.columns
    let frequencies = (0..<half).map {
      let frequency = pow(theta, -Double($0) / Double(half))
      return scaling?.scaled(frequency) ?? frequency
    }
    cosine.withMutableFloats { cosines in
      sine.withMutableFloats { sines in
        for position in 0..<cosine.rows {
          for (index, frequency) in frequencies.enumerated() {
            let angle = Double(position) * frequency
            cosines[position * half + index] = Float(cos(angle))
            sines[position * half + index] = Float(sin(angle))
          }
        }
      }
    }
  }
}
