#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How well a model predicts a text.
public struct EvaluationResult: Sendable, Equatable {
  /// Mean cross-entropy of a token, in nats.
  public let loss: Double
  /// Bits for each byte of the predicted tokens' text; special tokens have no bytes.
  public let bitsPerByte: Double
  /// Tokens predicted.
  public let tokens: Int

  /// e^loss.
  public var perplexity: Double { Self.perplexity(loss) }

  /// e^`loss`.
  static func perplexity(_ loss: Double) -> Double { exp(loss) }
}

/// Predicts every token of a sequence but the first, in consecutive windows, each of which starts
/// without memory of the one before.
public struct Evaluator {
  private let model: LanguageModel
  private let activations: ModelActivations
  private let byteCounts: [Int]

  /// Evaluates as many windows at a time, and as long ones, as `activations` have room for; those
  /// of training will do.
  public init(_ model: LanguageModel, tokenizer: Tokenizer, activations: ModelActivations) {
    self.model = model
    self.activations = activations
    byteCounts = (0..<Int32(clamping: tokenizer.vocabularySize)).map { id in
      tokenizer.isSpecial(id) ? 0 : tokenizer.bytes(of: id)?.count ?? 0
    }
  }

  /// Evaluates `tokens`, or returns `nil` as soon as `isCancelled` says so.
  public func evaluate(
    _ tokens: TokenSequence, isCancelled: () -> Bool = { false }
  ) throws -> EvaluationResult? {
    let windows = try BatchSampler(
      tokens, length: activations.length,
      vocabularySize: model.configuration.vocabularySize, name: "validation")
    var (sum, count, bytes) = (0.0, 0, 0)
    for first in stride(from: 0, to: windows.consecutiveCount, by: activations.sequences) {
      if isCancelled() { return nil }
      try windows.consecutive(from: first, into: activations.batch)
      model.loss(activations)
      try model.backend.finish()
      activations.losses.withFloats { losses in
        for row in losses.indices {
          let target = Int(activations.targets.integers[row])
          guard target >= 0 else { continue }
          sum += Double(losses[row])
          count += 1
          bytes += target < byteCounts.count ? byteCounts[target] : 0
        }
      }
    }
    return EvaluationResult(
      loss: sum / Double(count), bitsPerByte: bytes > 0 ? sum / (M_LN2 * Double(bytes)) : .nan,
      tokens: count)
  }
}
