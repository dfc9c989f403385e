import ArgumentParser
import MGLUReports
import MGLUTraining

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// `mglu logits`.
struct LogitsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logits",
    abstract: "Show a model's predictions at each token of a sequence.",
    discussion: """
      Examples:
        mglu logits --model run --text "To be, or not"
        mglu logits --model run --ids 84,111,32 --top 10 --json
        mglu logits --model run --ids 84,111,32 --all --input-precision fp32

      For each token: how probable it was, and what was most probable after it (natural \
      logarithms). --all prints a JSON document with the whole row of logits for each token.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "The text.") var text: String?
  @Option(help: "Token ids instead, with commas between them.") var ids: TokenList?
  @Option(help: "Most probable tokens to show.") var top = 5
  @Flag(help: "Print every logit, as JSON.") var all = false
  @Flag(help: "Print one JSON document.") var json = false

  /// Token ids as they are typed.
  struct TokenList: ExpressibleByArgument {
    let ids: [Int32]

    init?(argument: String) {
      let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
      // Spaces around a number, but none within.
      ids = parts.compactMap { part in
        let words = part.split(separator: " ")
        return words.count == 1 ? Int32(words[0]) : nil
      }
      if ids.count != parts.count { return nil }
    }
  }

  func validate() throws {
    if (text == nil) == (ids == nil) { throw ValidationError("give either --text or --ids") }
    if text?.isEmpty == true { throw ValidationError("--text is empty") }
    if top < 0 { throw ValidationError("--top is \(top): expected 0 or more") }
  }

  func run() async throws {
    try await model.withModel(inference, of: self) { try show($0) }
  }

  private func show(_ model: InferenceModel) throws {
    let folder = try ModelFolder.locate(self.model.model)
    let tokenizer =
      try ModelFolder.hasTokenizer(folder) ? self.model.tokenizer(for: model) : nil
    guard let tokens = ids?.ids ?? text.flatMap({ tokenizer?.encode($0) }) else {
      throw TokenizerError(.unreadable, "the model has no tokenizer.json", remedy: "give --ids")
    }
    let context = model.configuration.contextLength
    guard tokens.count <= context else {
      throw GenerationError(
        .contextLength, "\(tokens.count) tokens do not fit a context of \(context)",
        remedy: "shorten the text")
    }
    let session = InferenceSession(model, contextLength: tokens.count)
    let sequence = try session.open()
    var document = Document(ids: tokens, tokens: [], logits: all ? [] : nil)
    var previous: [Float]?
    for token in tokens {
      let logits = try session.append([token], to: sequence)
        .withFloats { row in row.indices.map { row[$0] } }
      guard logits.contains(where: { !$0.isNaN }) else { throw GenerationError.notFinite }
      document.tokens.append(
        Document.Token(id: token, logprob: previous?.logprob(of: token), top: logits.top(top)))
      document.logits?.append(logits)
      previous = logits
    }
    if json || all { return Output.json(document) }
    func shown(_ id: Int32) -> String {
      let token = tokenizer.flatMap { $0.bytes(of: id) }.map { String(decoding: $0, as: UTF8.self) }
      return token?.debugDescription ?? "\(id)"
    }
    for token in document.tokens {
      let logprob = token.logprob.map { NumberFormat.fixed(Double($0), 4) } ?? "-"
      let next = token.top.map { "\(shown($0.id)) \(NumberFormat.fixed(Double($0.logprob), 2))" }
      Output.line("\(shown(token.id))  \(logprob)  then \(next.joined(separator: ", "))")
    }
  }
}

/// The output of `mglu logits --json`.
private struct Document: Encodable {
  struct Choice: Encodable {
    let id: Int32
    let logprob: Float
  }

  struct Token: Encodable {
    let id: Int32
    /// Of this token after those before it; none for the first.
    let logprob: Float?
    /// The most probable tokens that may follow.
    let top: [Choice]
  }

  let ids: [Int32]
  var tokens: [Token]
  var logits: [[Float]]?
}

extension [Float] {
  /// log softmax of this row, less the logit itself.
  private var logNormalizer: Double {
    let highest = Double(self.max() ?? 0)
    return highest + log(reduce(0.0) { $0 + exp(Double($1) - highest) })
  }

  fileprivate func logprob(of id: Int32) -> Float? {
    indices.contains(Int(id)) ? Float(Double(self[Int(id)]) - logNormalizer) : nil
  }

  /// The `count` most probable tokens; of equal ones the lower ids first.
  fileprivate func top(_ count: Int) -> [Document.Choice] {
    let normalizer = logNormalizer
    let order = indices.sorted { (self[$1], $0) < (self[$0], $1) }
    return order.prefix(count).map {
      Document.Choice(id: Int32($0), logprob: Float(Double(self[$0]) - normalizer))
    }
  }
}
