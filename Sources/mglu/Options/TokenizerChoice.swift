import MGLUTraining

extension Tokenizer {
  /// The tokenizer that `--tokenizer` names: `byte`, a tokenizer.json or a folder with one.
  static func named(_ name: String) throws(TokenizerError) -> Tokenizer {
    name == "byte" ? .bytes : try Tokenizer(contentsOf: name)
  }
}
