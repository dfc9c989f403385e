/// A model that another one learns from: it reads the same tokens, and its logits are part of the loss.
public struct Teacher: Sendable {
  /// The model.
  public let model: LanguageModel
  /// How much its logits count.
  public let distillation: Distillation
  private let activations: ModelActivations

  /// A teacher for passes over `sequences` texts of `length` tokens.
  ///
  /// - Precondition: it computes on the backend of the model that learns, and has its vocabulary.
  public init(
    _ model: LanguageModel, _ distillation: Distillation, sequences: Int, length: Int
  ) {
    self.model = model
    self.distillation = distillation
    activations = model.makeActivations(
      sequences: sequences, length: length, purpose: .evaluation)
  }

  /// Reads the tokens of a batch.
  func read(_ batch: TokenBatch) {
    model.backend.host.copy(batch.tokens, into: activations.batch.tokens)
    model.hidden(activations)
  }

  /// The logits of rows, valid until the next ones.
  func logits(_ rows: Range<Int>) -> Tensor {
    let logits = activations.logits[0..<rows.count]
    model.backend.multiply(
      activations.normed[rows], model.deviceWeights.head.transposed, into: logits)
    return logits
  }
}
