import MGLUModel

/// What the attention of a family has that a Llama's has not, alone and together.
enum AttentionVariant: CaseIterable {
  case plain, biases, outputBiases, window, someWindows, unrotated, partlyRotated, yarn, everything

  /// Gives it to a model of several layers, heads of at least 6 elements, and a context beyond 4.
  func apply(to configuration: inout ModelConfiguration) {
    let all = self == .everything
    if all || [.biases, .outputBiases].contains(self) { configuration.hasQKVBias = true }
    if all || self == .outputBiases { configuration.hasOutputBias = true }
    if all || [.window, .someWindows].contains(self) { configuration.attention.window = 4 }
    if all || self == .someWindows { configuration.unwindowedLayers = [0] }
    if all || self == .unrotated { configuration.unrotatedLayers = [1] }
    if all || self == .partlyRotated { configuration.attention.rotarySize = 4 }
    if all || self == .yarn {
      configuration.ropeScaling = .yarn(.init(factor: 3, original: 5))
      configuration.ropeTheta = 100
    }
    if all { configuration.hasQKNorm = true }
  }
}
