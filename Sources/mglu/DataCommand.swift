import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu data`.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Prepare training data.", subcommands: [Pack.self])

  /// `mglu data pack`.
  struct Pack: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Encode text once, into a token shard that llm.c and mglu train read.",
      discussion: """
        Examples:
          mglu data pack --data input.txt --tokenizer tokenizer --output train.bin
          mglu data pack --data docs/ --output shards/docs_train.bin
        """)

    @Option(help: "Text, JSONL, or a folder of them.", completion: .file()) var data: String
    @Option(help: "byte, or a tokenizer.json.", completion: .file()) var tokenizer = "byte"
    @Option(help: "Shard to write, which must not exist yet.", completion: .file())
    var output: String
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
      guard output.hasSuffix(".bin") else {
        throw DataError(.unwritable, "\(output): a shard's name ends in .bin")
      }
      guard Folder.kind(of: output) == nil else {
        throw DataError(.unwritable, "\(output) exists already", remedy: "give another --output")
      }
      let tokenizer = try Tokenizer.named(tokenizer)
      let ids = try Corpus.encode(textAt: data, tokenizer: tokenizer)
      if let note = try Corpus.noteOfFilesLeftOut(data, isPacked: true) { Output.note(note) }
      try Folder.create(Folder.parent(of: output))
      try TokenShard.write(ids, vocabularySize: tokenizer.vocabularySize, to: output)
      if json {
        struct Document: Encodable {
          let output: String
          let tokens: Int
        }
        Output.json(Document(output: output, tokens: ids.count))
      } else {
        Output.line("\(output): \(NumberFormat.grouped(ids.count)) tokens")
      }
    }
  }
}
