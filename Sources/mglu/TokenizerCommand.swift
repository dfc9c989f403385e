import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu tokenizer`.
struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Train a tokenizer, or use one.",
    subcommands: [Train.self, Encode.self, Decode.self, Chat.self])

  /// `mglu tokenizer train`.
  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn a byte-level BPE tokenizer from text.",
      discussion: """
        Example:
          mglu tokenizer train --data input.txt --output tokenizer

        Writes tokenizer.json and tokenizer_config.json, as Hugging Face reads them.
        """)

    @Option(help: "Text, JSONL, or a folder of them.", completion: .file()) var data: String
    @Option(help: "Tokens: 256 bytes, merges, and the EOS token.") var vocabularySize = 1024
    @Option(help: "Folder to write, which must hold no tokenizer yet.", completion: .directory)
    var output: String
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
      if Folder.kind(of: output + "/tokenizer.json") != nil {
        throw DataError(
          .unwritable, "\(output) holds a tokenizer already", remedy: "give another --output")
      }
      var trainer = BPETrainer()
      try TextSource.forEachText(at: data) { trainer.add($0) }
      let tokenizer = try trainer.train(vocabularySize: vocabularySize)
      try tokenizer.save(to: output)
      if json {
        struct Document: Encodable {
          let output: String
          let vocabularySize: Int
        }
        Output.json(Document(output: output, vocabularySize: tokenizer.vocabularySize))
      } else {
        Output.line(
          "\(output)/tokenizer.json: \(NumberFormat.grouped(tokenizer.vocabularySize)) tokens")
      }
    }
  }

  /// `mglu tokenizer encode`.
  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the token ids of a text.",
      discussion: """
        Examples:
          mglu tokenizer encode --tokenizer tokenizer --text "To be"
          mglu tokenizer encode --tokenizer byte --data input.txt --json
        """)

    @Option(help: "byte, a tokenizer.json, or a model.", completion: .file()) var tokenizer = "byte"
    @Option(help: "The text.") var text: String?
    @Option(help: "A text file instead.", completion: .file()) var data: String?
    @Flag(help: "Print one JSON document.") var json = false

    func validate() throws {
      if (text == nil) == (data == nil) { throw ValidationError("give either --text or --data") }
    }

    func run() throws {
      let tokenizer = try Tokenizer.named(tokenizer)
      let ids =
        try text.map { tokenizer.encode($0) }
        ?? Corpus.encode(textAt: data ?? "", tokenizer: tokenizer)
      if json {
        Output.json(["ids": ids])
      } else {
        Output.line(ids.map(String.init).joined(separator: " "))
      }
    }
  }

  /// `mglu tokenizer decode`.
  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of token ids.",
      discussion: """
        Example:
          mglu tokenizer decode --tokenizer byte 84 111 32 98 101
        """)

    @Option(help: "byte, a tokenizer.json, or a model.", completion: .file()) var tokenizer = "byte"
    @Argument(help: "Token ids.") var ids: [Int32]
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
      let tokenizer = try Tokenizer.named(tokenizer)
      if let bad = ids.first(where: { tokenizer.bytes(of: $0) == nil }) {
        throw TokenizerError(
          .malformed, "\(bad) is no token: expected 0 to \(tokenizer.vocabularySize - 1)")
      }
      let text = tokenizer.decode(ids)
      if json { Output.json(["text": text]) } else { Output.line(text) }
    }
  }
}
