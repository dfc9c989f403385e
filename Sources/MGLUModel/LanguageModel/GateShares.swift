extension LanguageModel {
  /// The share of ones in each mask, layer by layer: how much of W is gate. Empty for layers
  /// without masks.
  public var gateShares: [[Double]] {
    weights.layers.map { layer in
      guard let unit = layer.unit.masked else { return [] }
      let size = unit.weight.count
      return unit.maskLogits.withFloats { logits in
        (0..<unit.maskCount).map { mask in
          var ones = 0
          for index in mask * size..<(mask + 1) * size where logits[index] > 0 { ones += 1 }
          return Double(ones) / Double(size)
        }
      }
    }
  }
}
