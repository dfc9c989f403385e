import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct CalibratedConversionTests {
  static let tokens = Tokenizer.bytes.encode(TrainerTests.proverbs)

  static func settings(
    _ masks: Int, tuneSteps: Int = 6, tuneRows: Int = 100
  ) -> CalibrationSettings {
    CalibrationSettings(
      masks: masks, contextLength: 8, tuneSteps: tuneSteps, tuneRows: tuneRows)
  }

  /// A GLU that has learned the proverbs.
  static func trained() throws -> LanguageModel {
    let trainer = try TrainerTests.trainer(
      .glu, in: nil, TrainerTests.configuration(steps: 120))
    _ = try trainer.run()
    return trainer.model
  }

  static func loss(_ model: LanguageModel) throws -> Double {
    let activations = model.makeActivations(sequences: 4, length: 8, purpose: .evaluation)
    return try #require(
      try Evaluator(model, tokenizer: .bytes, activations: activations)
        .evaluate(TokenSequence(tokens))
    ).loss
  }

  /// Nearer than element by element, and tuning brings it nearer.
  @Test(arguments: [1, 2, 4]) func conversionIsNear(masks: Int) throws {
    let model = try Self.trained()
    let before = try Self.loss(model)
    func converted(tuneSteps: Int) throws -> Double {
      let conversion = try CalibratedConversion(
        model, tokens: Self.tokens, settings: Self.settings(masks, tuneSteps: tuneSteps))
      return try Self.loss(try #require(try conversion.run()))
    }
    let elementwise = try Self.loss(model.maskedFromGated(masks: masks).model)
    let fitted = try converted(tuneSteps: 0)
    let tuned = try converted(tuneSteps: 60)
    #expect(fitted < elementwise)
    #expect(tuned < fitted)
    #expect(tuned - before < 0.25 * (elementwise - before))
  }

  /// Where gate and value never meet in an element an MGLU of one mask is the same model.
  @Test(arguments: Activation.allCases)
  func disjointMatricesAreKept(activation: Activation) throws {
    var shape = try Self.trained().configuration
    shape.feedForward.activation = activation
    let model = try LanguageModel(shape, seed: 4, on: CPUBackend(threads: 2))
    for layer in model.weights.layers {
      let matrices = layer.unit.matrices
      for index in 0..<matrices[0].count { matrices[index % 3 == 0 ? 0 : 1].floats[index] = 0 }
    }
    model.upload()
    let conversion = try CalibratedConversion(
      model, tokens: Self.tokens, settings: Self.settings(1, tuneSteps: 0))
    var errors: [Double] = []
    let converted = try #require(
      try conversion.run(observe: { if case .layer(_, let error) = $0 { errors.append(error) } }))
    #expect(errors.count == 2 && errors.allSatisfy { $0 < 1e-10 })
    let ids = Array(Self.tokens.prefix(8))
    #expect(zip(model.logits(ids), converted.logits(ids)).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  /// Stopped in any layer, before, amid and after its tuning, and repeated: the same model.
  @Test(arguments: [0, 3, 6, 8, 12]) func interruptedConversionGoesOn(stop: Int) throws {
    try withTemporaryFolder { folder in
      let model = try Self.trained()
      let settings = Self.settings(3)
      let whole = try #require(
        try CalibratedConversion(model, tokens: Self.tokens, settings: settings).run())
      func conversion() throws -> CalibratedConversion {
        try CalibratedConversion(
          model, tokens: Self.tokens, settings: settings, keepingLayersIn: folder + "/kept")
      }
      var steps = 0
      let first = try conversion().run(
        observe: { if case .step = $0 { steps += 1 } }, isCancelled: { steps >= stop })
      #expect((first == nil) == (stop < 12))
      var resumed = 0
      let second = try conversion()
      let result = try #require(
        try second.run(observe: { if case .resumed(let layers) = $0 { resumed = layers } }))
      #expect(resumed == stop / 6)
      for (a, b) in zip(whole.namedParameters, result.namedParameters) {
        #expect(a.tensor.array == b.tensor.array)
      }
      // One at a time keeps layers there.
      let error = #expect(throws: FileError.self) { try conversion() }
      #expect(error?.code == .inUse)
      var other = settings
      other.seed = 2
      let refusal = #expect(throws: ConversionError.self) {
        try CalibratedConversion(
          model, tokens: Self.tokens, settings: other, keepingLayersIn: folder + "/kept")
      }
      #expect(refusal?.message.contains("another conversion: other settings") == true)
      try second.removeProgress()
      #expect(Folder.kind(of: folder + "/kept") == nil)
    }
  }

  @Test func impossibleConversionsAreRefused() throws {
    let model = try Self.trained()
    func refuses<E: Error>(_ type: E.Type, _ settings: CalibrationSettings, _ tokens: [Int32]) {
      #expect(throws: E.self) {
        try CalibratedConversion(model, tokens: tokens, settings: settings)
      }
    }
    refuses(ConversionError.self, Self.settings(1), [1, 2, 3])
    refuses(ConversionError.self, Self.settings(1), Array(repeating: 999, count: 8))
    refuses(ConversionError.self, Self.settings(1, tuneSteps: -1), Self.tokens)
    refuses(ConversionError.self, Self.settings(1, tuneSteps: .max), Self.tokens)
    refuses(ConversionError.self, Self.settings(1, tuneRows: 0), Self.tokens)
    refuses(CheckpointError.self, Self.settings(17), Self.tokens)
    let bytes = Self.settings(.max).byteCount(model.configuration, tokens: .max, type: .float32)
    #expect(bytes > 0x1p64)
    var long = Self.settings(1)
    long.contextLength = 9
    refuses(ConversionError.self, long, Self.tokens)
    let masked = try model.maskedFromGated(masks: 2).model
    #expect(throws: CheckpointError.self) {
      try CalibratedConversion(masked, tokens: Self.tokens, settings: Self.settings(1))
    }
  }

  @Test func windowsAreSpreadOverTheText() throws {
    let text = TokenSequence((0..<100).map(Int32.init))
    func starts(_ windows: Int, _ length: Int) throws -> [Int32] {
      let ids = try text.spread(windows: windows, length: length, vocabularySize: 100)
      return stride(from: 0, to: ids.count, by: length).map { ids[$0] }
    }
    #expect(try starts(3, 10) == [0, 45, 90])
    #expect(try starts(1, 10) == [0])
    #expect(try starts(11, 10) == Array(stride(from: 0, to: 100, by: 10)))
    #expect(try text.spread(windows: 2, length: 200, vocabularySize: 100).count == 100)
  }
}
