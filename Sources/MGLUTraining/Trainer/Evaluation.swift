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
  private let ranks: RankGroup?

  /// Evaluates as many windows at a time, and as long ones, as `activations` have room for; those
  /// of training will do.
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
    self.model = model
    self.activations = activations
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
      tokens, length: activations.length,
      vocabularySize: model.configuration.vocabularySize, name: "validation")
    var (sum, count, bytes) = (0.0, 0, 0)
    let (own, ranks) = (ranks?.rank ?? 0, ranks?.size ?? 1)
    // Side by side; added up batch by batch, as one rank alone does.
    for round in stride(
      from: 0, to: windows.consecutiveCount, by: activations.sequences * ranks)
    {
      let first = round + own * activations.sequences
      let isOver = isCancelled()
      var predictions: [Prediction] = []
      if !isOver, first < windows.consecutiveCount {
        predictions = try predict(windows, from: first)
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

  /// A token and its loss.
  private struct Prediction: BitwiseCopyable {
    let target: Int32
    let loss: Float
  }

  private func predict(_ windows: BatchSampler, from first: Int) throws -> [Prediction] {
    try windows.consecutive(from: first, into: activations.batch)
    model.loss(activations)
    try model.backend.finish()
    return activations.losses.withFloats { losses in
      losses.indices.compactMap { row in
        let target = activations.targets.integers[row]
        return target < 0 ? nil : Prediction(target: target, loss: losses[row])
      }
    }
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
