import MGLUReference
import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct EvaluatorTests {
  /// By the passes of training, or by the steps of inference.
  enum Way: CaseIterable {
    case training, inference

    func evaluator(
      of model: LanguageModel, length: Int, ranks: RankGroup? = nil
    ) throws -> Evaluator {
      switch self {
      case .training:
        Evaluator(
          model, tokenizer: .bytes,
          activations: model.makeActivations(sequences: 3, length: length, purpose: .evaluation),
          ranks: ranks)
      case .inference:
        Evaluator(
          try InferenceModel(model), tokenizer: .bytes, length: length, ranks: ranks)
      }
    }
  }

  private static func configuration(
    _ unit: FeedForwardUnitKind, context: Int, tied: Bool = false
  ) -> ModelConfiguration {
    ModelConfiguration(
      vocabularySize: 257, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 19, intermediateSize: 29, unit: unit), contextLength: context,
      hasQKNorm: tied, tiesEmbeddings: tied)
  }

  /// A model whose matrices are large enough that all of them matter.
  private static func model(
    _ configuration: ModelConfiguration, on backend: CPUBackend
  ) throws -> LanguageModel {
    let model = try LanguageModel(configuration, on: backend)
    model.initialize(seed: 3)
    for parameter in model.namedParameters
    where !parameter.name.hasSuffix("norm.weight") && !parameter.name.hasSuffix("mask_logits") {
      parameter.tensor.assign(parameter.tensor.array.map { 8 * $0 })
    }
    return model
  }

  /// Windows of which several are the same, where only some are followed by the same.
  private static func tokens(_ count: Int, length: Int) -> [Int32] {
    (0..<count).map { index in
      let place = index < 4 * length ? index % length : index
      return Int32((place * place + 7 * place) % 251)
    }
  }

  /// Perplexity of a model that knows nothing is its vocabulary.
  @Test(arguments: Way.allCases) func everyTokenButTheFirstIsPredictedOnce(way: Way) throws {
    let model = try LanguageModel(
      Self.configuration(.lu, context: 8), on: CPUBackend(threads: 1))
    let evaluator = try way.evaluator(of: model, length: 8)
    for count in [2, 8, 9, 10, 33, 100, 300] {
      let tokens = TokenSequence((0..<count).map { Int32($0 % 3 == 0 ? 256 : 65) })
      let result = try #require(try evaluator.evaluate(tokens))
      #expect(result.tokens == count - 1)
      #expect(abs(result.perplexity - 257) < 1e-2)
      let bytes = (1..<count).filter { $0 % 3 != 0 }.count
      let bits = result.loss * Double(count - 1) / 0.693147180559945 / Double(bytes)
      #expect(abs(result.bitsPerByte - bits) < 1e-9)
    }
    #expect(throws: DataError.self) { try evaluator.evaluate(TokenSequence([1])) }
    #expect(throws: DataError.self) { try evaluator.evaluate(TokenSequence([1, 257])) }
    #expect(try evaluator.evaluate(TokenSequence([1, 2]), isCancelled: { true }) == nil)
  }

  /// The bound is that of `ModelAgreementTests`: two blocks of float32 roundings, measured at most 2e-6.
  @Test(
    arguments: [
      FeedForwardUnitKind.lu, .glu, .sharedGLU, .mglu(.init(count: 1)), .mglu(.init(count: 16)),
      .mglu(.init(count: 2, ablation: .noGateMask)), .mglu(.init(count: 2, kind: .fixed)),
      .mglu(.init(count: 3, routerTopK: 2)),
    ], [true, false])
  func lossesAreThoseOfTheReference(unit: FeedForwardUnitKind, tied: Bool) throws {
    // A window of several steps on the way of inference, and steps of several windows.
    for (length, count) in [(300, 310), (8, 150)] {
      let model = try Self.model(
        Self.configuration(unit, context: length, tied: tied), on: CPUBackend(threads: 2))
      let (ids, reference) = (Self.tokens(count, length: length), ReferenceModel(model))
      var sum = 0.0
      for start in stride(from: 0, to: count - 1, by: length) {
        let window = ids[start..<min(start + length + 1, count)]
        let (inputs, targets) = (Array(window.dropLast()), Array(window.dropFirst()))
        sum += reference.loss(inputs, targets: targets, length: inputs.count)
      }
      let expected = sum / Double(count - 1)
      // The model's opinion matters: one that knows nothing has the loss ln 257.
      #expect(abs(expected - 5.549) > 0.1)
      for way in Way.allCases {
        let evaluator = try way.evaluator(of: model, length: length)
        let found = try #require(try evaluator.evaluate(TokenSequence(ids)))
        #expect(abs(found.loss / expected - 1) < 1e-5, "\(way), \(length)")
      }
    }
  }

  /// 19 windows of 100, of which each rank reads three at a time.
  @Test func anyNumberOfRanksFindsTheSame() throws {
    let data = TokenSequence(Self.tokens(1888, length: 100))
    @Sendable func result(_ ranks: RankGroup?) throws -> EvaluationResult? {
      let model = try Self.model(
        Self.configuration(.mglu(.init(count: 2)), context: 100), on: CPUBackend(threads: 1))
      return try Way.inference.evaluator(of: model, length: 100, ranks: ranks).evaluate(data)
    }
    let one = try #require(try result(nil))
    for ranks in [2, 3, 8] {
      for found in try withRanks(ranks, result) { #expect(try found.get() == one) }
    }
  }

  /// What is no number is not made up.
  @Test func aLossOfNoNumberIsNotFinite() throws {
    let model = try Self.model(
      Self.configuration(.glu, context: 8), on: CPUBackend(threads: 1))
    for parameter in model.namedParameters where parameter.name.contains("down_proj") {
      parameter.tensor.assign(parameter.tensor.array.map { _ in .nan })
    }
    let evaluator = try Way.inference.evaluator(of: model, length: 8)
    let result = try #require(try evaluator.evaluate(TokenSequence([1, 2, 3])))
    #expect(!result.loss.isFinite)
  }
}
