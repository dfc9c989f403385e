/// What masks do during training, layer by layer: how much of W is gate, how many bits changed since
/// the last measurement, how many are about to.
package struct MaskTelemetry {
  /// One measurement; each list has a number for every layer with masks.
  package struct Report: Equatable {
    /// Share of ones.
    package var ones: [Double]
    /// Share of bits that differ from the last measurement, for 100 steps; `nil` at the first.
    package var flips: [Double]?
    /// Share of logits within ``threshold`` of zero; none of fixed masks, which files have as bits.
    package var nearZero: [Double]
  }

  /// Steps between measurements.
  static let interval = 100
  /// Near zero: a tenth of the deviation that logits start with.
  static let threshold: Float = 0.001
  /// The file of a checkpoint with the bits of the last measurement.
  static let fileName = "mask_reference.bin"

  private let model: LanguageModel
  private let units: [MaskedGatedLinearUnit]
  /// The step of the last measurement and its bits, 64 to a word, each layer from a word on.
  private(set) var reference: (step: Int, words: [UInt64])?

  /// Telemetry of a model, or `nil` if it has no masks.
  package init?(_ model: LanguageModel) {
    self.model = model
    units = model.deviceWeights.layers.compactMap(\.unit.masked)
    guard !units.isEmpty else { return nil }
  }

  /// Measures the masks after `step`. Other ranks call ``LanguageModel/forEachLayer(_:)`` meanwhile.
  package mutating func measure(step: Int) throws(CommunicationError) -> Report {
    var words: [UInt64] = []
    var report = Report(ones: [], nearZero: [])
    var flips: [Double] = []
    try model.forEachLayer { layer in
      guard let unit = layer.unit.masked else { return }
      let first = words.count
      let count = Double(unit.maskLogits.count)
      let logits = model.backend.onHost(unit.maskLogits)
      let near = logits.withFloats { Self.pack($0, into: &words) }
      var (ones, changed) = (0, 0)
      for index in first..<words.count {
        ones += words[index].nonzeroBitCount
        if let reference { changed += (words[index] ^ reference.words[index]).nonzeroBitCount }
      }
      report.ones.append(Double(ones) / count)
      report.nearZero.append(unit.maskKind == .learned ? Double(near) / count : 0)
      if let reference, step > reference.step {
        flips.append(100 * Double(changed) / (count * Double(step - reference.step)))
      }
    }
    if !flips.isEmpty { report.flips = flips }
    reference = (step, words)
    return report
  }

  /// Appends the signs of `logits` and returns how many of them are near zero.
  private static func pack(_ logits: Span<Float>, into words: inout [UInt64]) -> Int {
    var near = 0
    for start in stride(from: 0, to: logits.count, by: 64) {
      var word: UInt64 = 0
      for index in start..<min(start + 64, logits.count) {
        if logits[index] > 0 { word |= 1 << UInt64(index - start) }
        near += logits[index].magnitude <= threshold ? 1 : 0
      }
      words.append(word)
    }
    return near
  }
}

// In a checkpoint: the step and the words, each 8 bytes, little end first.
extension MaskTelemetry {
  /// The last measurement's bits, for a checkpoint; `nil` before the first.
  var referenceBytes: [UInt8]? {
    reference.map { reference in
      ([UInt64(reference.step)] + reference.words).flatMap { word in
        withUnsafeBytes(of: word.littleEndian) { Array($0) }
      }
    }
  }

  /// Takes up the bits of a checkpoint; those of another model are left out.
  mutating func restore(_ bytes: [UInt8]) {
    let words = stride(from: 0, to: bytes.count - 7, by: 8).map { start in
      (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) }
    }
    let expected = units.reduce(1) { $0 + ($1.maskLogits.count + 63) / 64 }
    guard words.count == expected, let step = Int(exactly: words[0]) else { return }
    reference = (step, Array(words.dropFirst()))
  }
}
