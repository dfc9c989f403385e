import MGLUModel
import Testing

/// Errors of a program end it with a sentence, before memory is read or written that is not a tensor's,
/// optimized or not.
@Suite struct MisuseTests {
  private static func says(_ words: String, _ result: ExitTest.Result?) -> Bool {
    String(decoding: result?.standardErrorContent ?? [], as: UTF8.self).contains(words)
  }

  private static func model() throws -> LanguageModel {
    try LanguageModel(ModelPreset.nano.configuration, seed: 1, on: CPUBackend(threads: 1))
  }

  @Test func elementsOfAPlanAreNotThere() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = try CPUBackend(threads: 1).allocate { layout in
        let tensor = layout.tensor([64])
        tensor.assign(Array(repeating: 1, count: 64))
        return tensor
      }
    }
    #expect(Self.says("has elements only after that returns", result))
  }

  @Test func tokensAreOfTheVocabulary() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = try Self.model().logits([1, 257])
    }
    #expect(Self.says("token 257, target 0: expected 0 to 256", result))
  }

  @Test func targetsAreOfTheVocabulary() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let model = try Self.model()
      let activations = model.makeActivations(sequences: 1, length: 2, purpose: .evaluation)
      activations.batch.targets.assign(integers: [-1, 300])
      model.loss(activations)
    }
    #expect(Self.says("token 0, target 300: expected 0 to 256", result))
  }

  @Test func passesFitTheContext() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = try Self.model().logits(Array(repeating: 1, count: 65))
    }
    #expect(Self.says("1 sequences of 65 tokens: expected one or more of 1 to 64", result))
  }

  @Test func passesHaveTokens() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      _ = try Self.model().logits([])
    }
    #expect(Self.says("sequences of 0 tokens", result))
  }

  @Test func gradientsAreOfTheirUnit() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let backend = try CPUBackend(threads: 1)
      let units = try (0..<2).map { _ in
        try MaskedGatedLinearUnit(hiddenSize: 8, intermediateSize: 4, masks: 1, on: backend)
      }
      _ = Gradients(of: units[0], on: backend)[units[1].weight]
    }
    #expect(Self.says("a parameter of another unit", result))
  }

  /// What a program may not know beforehand is thrown.
  @Test func sizesThatNoMemoryHoldsAreErrors() throws {
    let backend = try CPUBackend(threads: 1)
    for size in [1 << 20, 1 << 40] {
      #expect(throws: ConfigurationError.self) {
        try MaskedGatedLinearUnit(hiddenSize: size, intermediateSize: size, masks: 1, on: backend)
      }
      var shape = ModelPreset.nano.configuration
      shape.feedForward.hiddenSize = size
      shape.feedForward.intermediateSize = size
      #expect(throws: ConfigurationError.self) { try LanguageModel(shape, on: backend) }
    }
    var shape = ModelPreset.nano.configuration
    shape.unwindowedLayers = [4]
    #expect(throws: ConfigurationError.self) { try LanguageModel(shape, on: backend) }
  }

  @Test func foldersThatAreNotThereHaveNoTemplate() {
    let error = #expect(throws: CheckpointError.self) {
      try ChatTemplate(contentsOf: "/none/at/all")
    }
    #expect(error?.localizedDescription == "/none/at/all: no such file or folder")
  }
}
