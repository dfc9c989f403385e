import MGLUTraining

extension Tokenizer {
  /// The tokenizer that `--tokenizer` names: `byte`, a tokenizer.json, a folder with one or a GGUF file.
  static func named(_ name: String) throws(TokenizerError) -> Tokenizer {
    name == "byte" ? .bytes : try Tokenizer(contentsOf: name)
  }
}
