import MGLUModel

/// What a conversion makes of one block, on the host.
struct ConvertedLayer {
  /// W `[d, h]`, float32.
  let weight: Tensor
  /// 1 for a mask's one, -1 for its zero `[n, d, h]`, float32.
  let maskSigns: Tensor
  /// The down projection `[h, d]`, float32.
  let down: Tensor

  /// Room for a layer of a model of `configuration`.
  init(_ configuration: FeedForwardConfiguration, in layout: inout ArenaLayout) {
    let (d, h) = (configuration.intermediateSize, configuration.hiddenSize)
    weight = layout.tensor([d, h])
    maskSigns = layout.tensor([configuration.unit.masks?.count ?? 1, d, h])
    down = layout.tensor([h, d])
  }

  /// Writes the parameters of a layer whose mask logits have the size `logit`.
  func write(to layer: LayerWeights, logit: Float, on host: CPUBackend) {
    guard let unit = layer.unit.masked else { preconditionFailure("a layer without masks") }
    host.copy(weight, into: unit.weight)
    host.copy(down, into: layer.down)
    host.scaledDifference(maskSigns, nil, rowScales: nil, into: unit.maskLogits)
    unit.maskLogits.withMutableFloats { logits in
      for index in logits.indices { logits[index] *= logit }
    }
  }
}
