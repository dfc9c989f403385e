extension ModelConfiguration {
  /// Floating-point operations of a token in training, forward and backward: 6 for each weight that
  /// a product reads, masks counting as matrices of their own, and causal attention over half of
  /// `length` tokens.
  public func trainingFLOP(length: Int) -> Double {
    let up = Double(feedForward.intermediateSize * hiddenSize * feedForward.unit.gating.streams)
    let block =
      Double(hiddenSize * (attention.rowWidth + attention.queryWidth))
      + up + Double(feedForward.intermediateSize * hiddenSize)
      + Double(feedForward.routerWeightCount)
    let attended = 2 * Double(attention.queryWidth) * Double(length) / 2
    return 6 * (Double(vocabularySize * hiddenSize) + Double(layers) * (block + attended))
  }
}
