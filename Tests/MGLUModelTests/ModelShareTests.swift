import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// One model shared by ranks, which are threads on loopback: the logits of the whole model, bit for bit the
/// same on every rank.
@Suite struct ModelShareTests {
  /// Three key-value heads, of which two are together as wide as a group of INT8 weights, or each alone; 200
  /// columns are three cells and a rest.
  private static func model(
    _ unit: FeedForwardUnitKind, _ variant: AttentionVariant = .plain, headSize: Int = 16,
    tied: Bool = true
  ) throws -> LanguageModel {
    var configuration = ModelConfiguration(
      vocabularySize: 41, layers: 2, attention: .init(heads: 6, kvHeads: 3, headSize: headSize),
      feedForward: .init(hiddenSize: 23, intermediateSize: 200, unit: unit), contextLength: 64,
      tiesEmbeddings: tied)
    variant.apply(to: &configuration)
    return try .drawn(configuration, on: CPUBackend(threads: 2))
  }

  private static let tokens = (0..<29).map { Int32($0 * 17 % 41) }

  /// The logits that follow a prompt, and each of some tokens that are decoded after it.
  private static func logits(_ model: InferenceModel) throws -> [[Float]] {
    let session = InferenceSession(model)
    let sequence = try session.open()
    var logits = [try session.append(tokens.prefix(25), to: sequence).array]
    for token in tokens.dropFirst(25) {
      logits.append(try session.append([token], to: sequence).array)
    }
    return logits
  }

  /// The same of a model that ranks share: equal on all of them.
  private static func logits(
    ranks: Int, _ share: @escaping @Sendable (CPUBackend, any Communicator) throws -> InferenceModel
  ) throws -> [[Float]] {
    let all = try withRanks(ranks) { group in
      let backend = try CPUBackend(threads: 1)
      let model = try share(backend, backend.communicator(of: group))
      if group.isLeader {
        defer { try? model.endFollowers() }
        return try logits(model)
      }
      let follower = SessionFollower(model)
      var found: [[Float]] = []
      while try follower.next() {
        let logits = follower.sessions.values.first.map { Array($0.hostLogits.array.prefix(41)) }
        if let logits, logits != found.last, logits.contains(where: { $0 != 0 }) {
          found.append(logits)
        }
      }
      #expect(follower.sessions.isEmpty)
      return found
    }.map { try $0.get() }
    for other in all.dropFirst() { #expect(other == all[0]) }
    return all[0]
  }

  private static func logits(
    _ model: LanguageModel, weights: WeightType, ranks: Int
  ) throws -> [[Float]] {
    try logits(ranks: ranks) { backend, communicator in
      try InferenceModel(
        model.configuration, from: model, weights: weights, on: backend,
        communicator: communicator)
    }
  }

  /// The error of logits after the positions 24 to 28 against the reference.
  private static func error(_ logits: [[Float]], of model: LanguageModel) -> Double {
    let expected = ReferenceModel(model).logits(tokens, length: tokens.count).rows(24..<29)
    return relativeError(matrix(logits), expected)
  }

  /// Sums of a product are added in as many parts as there are ranks: further float32 roundings of the same
  /// size, within the bound of one rank.
  @Test(arguments: ModelFolderTests.units, [2, 3])
  func everyUnitIsShared(unit: FeedForwardUnitKind, ranks: Int) throws {
    let model = try Self.model(unit, tied: ranks == 2)
    let error = Self.error(try Self.logits(model, weights: .float32, ranks: ranks), of: model)
    #expect(error < CachedDecodingTests.bound)
  }

  @Test(arguments: AttentionVariant.allCases, [true, false])
  func everyAttentionIsShared(variant: AttentionVariant, tied: Bool) throws {
    let model = try Self.model(.mglu(.init(count: 2)), variant, tied: tied)
    let error = Self.error(try Self.logits(model, weights: .float32, ranks: 3), of: model)
    #expect(error < CachedDecodingTests.bound)
  }

  /// Narrow weights are those of the whole model: cuts leave groups and their scales as they are. So the
  /// logits differ from those of one rank by the order of sums alone.
  @Test(arguments: WeightType.allCases, [16, 24])
  func narrowWeightsStayTheSame(type: WeightType, headSize: Int) throws {
    for unit in [FeedForwardUnitKind.glu, .mglu(.init(count: 3, routerTopK: 2))] {
      let model = try Self.model(unit, headSize: headSize, tied: false)
      let one = try Self.logits(InferenceModel(model, weights: type))
      let shared = try Self.logits(model, weights: type, ranks: 2)
      let error = relativeError(Self.matrix(shared), Self.matrix(one))
      #expect(error < CachedDecodingTests.bound, "\(error)")
    }
  }

  @Test(arguments: [WeightType.bfloat16, .int8], [(3, 16), (2, 24)])
  func filesAreShared(type: WeightType, ranks: (count: Int, headSize: Int)) throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(.mglu(.init(count: 3)), headSize: ranks.headSize)
      try ModelFolder.save(model, to: folder + "/a")
      _ = try ModelFolder.convertForInference(
        folder + "/a", weights: type, to: folder + "/b", on: CPUBackend(threads: 1))
      let wide = try ModelFolder.load(folder + "/b", on: CPUBackend(threads: 1))
      for precision in InputPrecision.allCases {
        let logits = try Self.logits(ranks: ranks.count) { backend, communicator in
          try ModelFolder.loadForInference(
            folder + "/b", precision: precision, on: backend, communicator: communicator)
        }
        let error = Self.error(logits, of: wide)
        #expect(error < InferenceModelTests.bound(type, precision), "\(precision): \(error)")
      }
    }
  }

  /// A rank's memory is about its part of the whole's.
  @Test func cacheAndWeightsAreDivided() throws {
    let model = try Self.model(.glu)
    let whole = try InferenceModel(model)
    let bytes = try withRanks(3) { group in
      let backend = try CPUBackend(threads: 1)
      let share = try InferenceModel(
        model.configuration, from: model, on: backend,
        communicator: backend.communicator(of: group))
      return (share.cacheByteCount(blocks: 10), share.matrices.reduce(0) { $0 + $1.byteCount })
    }.map { try $0.get() }
    #expect(bytes.allSatisfy { 3 * $0.0 == whole.cacheByteCount(blocks: 10) })
    let (all, head) = (whole.matrices.reduce(0) { $0 + $1.byteCount }, 41 * 23 * 4)
    #expect(bytes.reduce(0) { $0 + $1.1 - head } == all - head)
  }

  /// A rank without heads or columns is none.
  @Test(arguments: [(4, "key-value heads"), (5, "columns")])
  func tooManyRanksAreAnError(ranks: Int, what: String) throws {
    let model = try Self.model(.glu, headSize: 32)
    var configuration = model.configuration
    if ranks == 5 { configuration.attention.kvHeads = 6 }
    let c = configuration
    for result in try withRanks(
      ranks,
      { group in
        _ = try InferenceModel(
          c, from: model, on: CPUBackend(threads: 1),
          communicator: CPUBackend(threads: 1).communicator(of: group))
      })
    {
      let error = #expect(throws: CheckpointError.self) { try result.get() }
      #expect(error?.code == .disagreement && error?.message.contains(what) == true)
    }
  }

  private static func matrix(_ logits: [[Float]]) -> ReferenceMatrix {
    ReferenceMatrix(
      rows: logits.count, columns: 41, elements: logits.joined().map(Double.init))
  }
}
