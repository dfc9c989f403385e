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
  package static func perplexity(_ loss: Double) -> Double { exp(loss) }
}

/// Predicts every token of a sequence but the first, in consecutive windows, each of which starts
/// without memory of the one before.
public struct Evaluator {
  private let predictor: any WindowPredictor
  private let byteCounts: [Int]
  private let ranks: RankGroup?

  /// Evaluates by the passes of training, as many windows at a time, and as long ones, as `activations`
  /// have room for; those of training will do.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokenizer: Tells the bytes of each token.
  ///   - activations: Memory of the passes.
  ///   - ranks: Who shares the work, each with the same model and the same result; `nil` for one.
  public init(
    _ model: LanguageModel, tokenizer: Tokenizer, activations: ModelActivations,
    ranks: RankGroup? = nil
  ) {
    self.init(
      TrainingPredictor(model: model, activations: activations), tokenizer: tokenizer, ranks: ranks)
  }

  /// Evaluates by the steps of inference, which read windows as they read prompts. The result depends
  /// neither on how many windows a step reads nor on the ranks.
  ///
  /// - Parameters:
  ///   - model: The model. It must not be run elsewhere meanwhile.
  ///   - tokenizer: Tells the bytes of each token.
  ///   - length: Tokens of a window, at most the model's context.
  ///   - ranks: Who shares the work, each with the same model and the same result; `nil` for one.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, length: Int, ranks: RankGroup? = nil
  ) {
    self.init(InferencePredictor(model, length: length), tokenizer: tokenizer, ranks: ranks)
  }

  private init(_ predictor: any WindowPredictor, tokenizer: Tokenizer, ranks: RankGroup?) {
    self.predictor = predictor
    self.ranks = ranks
    byteCounts = (0..<Int32(clamping: tokenizer.vocabularySize)).map { id in
      tokenizer.isSpecial(id) ? 0 : tokenizer.bytes(of: id)?.count ?? 0
    }
  }

  /// Evaluates `tokens`, or returns `nil` as soon as `isCancelled` says so.
  public func evaluate(
    _ tokens: TokenSequence, isCancelled: () -> Bool = { false }
  ) throws -> EvaluationResult? {
    let windows = try BatchSampler(
      tokens, length: predictor.length, vocabularySize: predictor.vocabularySize, name: "validation"
    )
    var (sum, count, bytes) = (0.0, 0, 0)
    let (own, ranks) = (ranks?.rank ?? 0, ranks?.size ?? 1)
    // Side by side; added up batch by batch, as one rank alone does.
    let part = predictor.windowsAtATime
    for round in stride(from: 0, to: windows.consecutiveCount, by: part * ranks) {
      let first = round + own * part
      let isOver = isCancelled()
      var predictions: [Prediction] = []
      if !isOver, first < windows.consecutiveCount {
        predictions = try predictor.predict(
          windows, first..<min(first + part, windows.consecutiveCount))
      } else {
        predictor.accompany()
      }
      guard let all = try gathered(predictions, isOver: isOver) else { return nil }
      for prediction in all {
        sum += Double(prediction.loss)
        count += 1
        let target = Int(prediction.target)
        bytes += target < byteCounts.count ? byteCounts[target] : 0
      }
    }
    return EvaluationResult(
      loss: sum / Double(count), bitsPerByte: bytes > 0 ? sum / (M_LN2 * Double(bytes)) : .nan,
      tokens: count)
  }

  /// The predictions of all ranks in order, or `nil` where one of them has stopped.
  private func gathered(
    _ own: [Prediction], isOver: Bool
  ) throws(CommunicationError) -> [Prediction]? {
    guard let ranks else { return isOver ? nil : own }
    let parts = try ranks.allGather(
      [isOver ? 1 : 0] + own.withUnsafeBytes { Array($0) })
    if parts.contains(where: { $0.first != 0 }) { return nil }
    return parts.flatMap { part in
      part.dropFirst().withUnsafeBytes { bytes in
        (0..<bytes.count / MemoryLayout<Prediction>.stride).map { index in
          bytes.loadUnaligned(
            fromByteOffset: index * MemoryLayout<Prediction>.stride, as: Prediction.self)
        }
      }
    }
  }
}
