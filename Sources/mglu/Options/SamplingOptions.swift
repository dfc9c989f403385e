import ArgumentParser
import MGLUServer

/// How tokens are chosen, and where a text ends.
struct SamplingOptions: ParsableArguments {
  @Option(help: "Maximum tokens to generate.") var maxTokens = 256
  @Option(
    name: [.long, .customLong("temp")], help: "Divides the logits; 0 takes the most probable.")
  var temperature: Float = 0.8
  @Option(help: "Choose among the K most probable; 0 for all.") var topK = 0
  @Option(help: "Choose among the most probable that sum to P; 0 takes the most probable.")
  var topP: Float = 1
  @Option(help: "Leave out tokens less probable than P times the most probable one.")
  var minP: Float = 0
  @Option(help: "More than 1 makes tokens of the text so far less probable.")
  var repetitionPenalty: Float = 1
  @Option(help: "Subtracted from the logits of generated tokens.") var presencePenalty: Float = 0
  @Option(help: "Subtracted from them for each time that they were generated.")
  var frequencyPenalty: Float = 0
  @Option(help: "Seed of the choice.") var seed: UInt64 = 0
  @Option(help: "A text that ends the writing and is left out; repeat it for more.")
  var stop: [String] = []

  /// The parameters that the arguments ask for.
  func parameters() throws -> SamplingParameters {
    var sampling = SamplingParameters(
      temperature: temperature, topK: topK, topP: topP, minP: minP, seed: seed)
    sampling.repetitionPenalty = repetitionPenalty
    sampling.presencePenalty = presencePenalty
    sampling.frequencyPenalty = frequencyPenalty
    try sampling.validate()
    return sampling
  }
}

extension TokenGenerator {
  /// Gives `write` the text up to the first of `stops`, part by part; returns the number of tokens.
  func write(
    until stops: [String], to write: (String) -> Void
  ) async throws -> Int {
    var stops = StopSequences(stops)
    var count = 0
    for try await token in TokenStream(self) {
      count += 1
      write(stops.append(token.text))
      if stops.isFound { return count }
    }
    write(stops.finish())
    return count
  }

  /// A generator of the response to `messages`.
  convenience init(
    _ model: InferenceModel, _ tokenizer: Tokenizer, _ template: ChatTemplate,
    messages: [ChatMessage], _ options: SamplingOptions
  ) throws {
    try self.init(
      model, tokenizer: tokenizer, tokens: tokenizer.encode(try template.render(messages)),
      maximumTokens: options.maxTokens, sampling: try options.parameters())
  }
}
