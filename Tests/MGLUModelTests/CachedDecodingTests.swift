import MGLUModel
import MGLUReference
import Testing

/// Reading a text piece by piece through the key-value cache against the full forward pass.
@Suite struct CachedDecodingTests {
  /// Sums in float32 against float64; the same bound as for the model in training.
  static let bound = 1e-5

  /// Sizes of the pieces that a text of 29 tokens is read in.
  static let pieces: [[Int]] = [
    Array(repeating: 1, count: 29), Array(repeating: 2, count: 14) + [1], [29], [17, 1, 1, 10],
  ]

  @Test(arguments: ModelAgreementTests.units, pieces)
  func piecesGiveTheLogitsOfTheWhole(unit: FeedForwardUnitKind, pieces: [Int]) throws {
    try check(Self.model(unit, context: 31), pieces)
  }

  @Test(arguments: AttentionVariant.allCases, pieces)
  func everyAttentionReadsPiecesAsTheWhole(variant: AttentionVariant, pieces: [Int]) throws {
    try check(Self.model(.glu, variant, context: 31), pieces)
  }

  private func check(_ model: LanguageModel, _ pieces: [Int]) throws {
    let tokens = (0..<29).map { Int32($0 * 11 % 23) }
    let whole = ReferenceModel(model).logits(tokens, length: 29)
    let session = try InferenceSession(InferenceModel(model))
    // The second time in the first one's slot: nothing of the first sequence may remain.
    for _ in 0..<2 {
      let sequence = try session.open()
      defer { session.remove(sequence) }
      var position = 0
      for count in pieces {
        let logits = try session.append(tokens[position..<position + count], to: sequence)
        position += count
        let expected = whole.rows(position - 1..<position)
        #expect(
          relativeError(ReferenceMatrix(logits), expected) < Self.bound, "position \(position)")
      }
      #expect(position == tokens.count)
    }
    let full = ReferenceMatrix(
      rows: 29, columns: 23, elements: model.logits(tokens).map(Double.init))
    let last = ReferenceMatrix(try session.append(tokens, to: session.open()))
    #expect(relativeError(last, full.rows(28..<29)) < Self.bound)
  }

  /// A prompt longer than the 256 rows that a session reads at a time.
  @Test(arguments: [false, true])
  func longPromptsAreReadInChunks(routed: Bool) throws {
    let model = try Self.model(
      .mglu(.init(count: 2, routerTopK: routed ? 1 : nil)), context: 530)
    let tokens = (0..<521).map { Int32($0 * $0 % 23) }
    let whole = ReferenceModel(model).logits(tokens, length: 521)
    let session = try InferenceSession(InferenceModel(model))
    let sequence = try session.open()
    let prompt = ReferenceMatrix(try session.append(tokens.prefix(519), to: sequence))
    #expect(relativeError(prompt, whole.rows(518..<519)) < Self.bound)
    let next = ReferenceMatrix(try session.append(tokens.suffix(2), to: sequence))
    #expect(relativeError(next, whole.rows(520..<521)) < Self.bound)
  }

  private static func model(
    _ unit: FeedForwardUnitKind, _ variant: AttentionVariant = .plain, context: Int
  ) throws -> LanguageModel {
    var configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 19, intermediateSize: 29, unit: unit),
      contextLength: context, hasQKNorm: context == 31)
    variant.apply(to: &configuration)
    return try LanguageModel.drawn(configuration, on: CPUBackend(threads: 2))
  }
}
