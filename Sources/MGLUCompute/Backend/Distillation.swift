/// How a model learns from another (Hinton et al., arXiv 1503.02531): with share s and temperature T
/// the loss of a token is `(1 - s) CE + s T² KL(softmax(teacher / T), softmax(logits / T))`.
public struct Distillation: Sendable, Equatable, Codable {
  /// s, 0 to 1: how much of the loss is the teacher's.
  public var share: Float
  /// T, above 0: a higher one tells more of the tokens that the teacher finds improbable.
  public var temperature: Float

  /// Settings; half of the loss at a temperature of 1.
  public init(share: Float = 0.5, temperature: Float = 1) {
    self.share = share
    self.temperature = temperature
  }
}
