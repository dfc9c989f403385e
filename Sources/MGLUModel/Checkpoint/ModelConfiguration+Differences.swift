import MGLUTemplates

extension ModelConfiguration {
  /// The keys of `config.json` in which this configuration differs from `other`, with both values where
  /// they are short. What ends a text is left out, as the tokenizer has a part in it.
  /// So is the family, which is how a file spells a model.
  package func differences(from other: ModelConfiguration) -> [String] {
    var counterpart = other
    (counterpart.family, counterpart.eosTokenIDs) = (family, eosTokenIDs)
    guard self != counterpart else { return [] }
    return Self.differences(words, from: counterpart.words)
  }

  /// The keys in which two documents in words differ, with both values where they are short.
  package static func differences(
    _ own: [String: String], from others: [String: String]
  ) -> [String] {
    Set(own.keys).union(others.keys).sorted().compactMap { key in
      let (mine, theirs) = (own[key] ?? "none", others[key] ?? "none")
      guard mine != theirs else { return nil }
      return max(mine.count, theirs.count) > 40 ? "another \(key)" : "\(key) \(mine), not \(theirs)"
    }
  }

  /// The keys of `config.json` and their values in words, of a SwiGLU in place of the unit.
  package var wordsBesideUnit: [String: String] {
    var configuration = self
    (configuration.feedForward.unit, configuration.feedForward.activation) = (.glu, .silu)
    return configuration.words
  }

  private var words: [String: String] {
    document.mapValues { value in
      switch value {
      case .boolean(let value): "\(value)"
      case .integer(let value): "\(value)"
      case .real(let value): "\(value)"
      case .string(let value): value
      default: "\(value)"
      }
    }
  }

  private var document: [String: TemplateValue] {
    var configuration = self
    configuration.eosTokenIDs = []
    let bytes = ModelFolder.json(HuggingFaceConfiguration(configuration))
    guard case .mapping(let members)? = try? TemplateValue(parsing: bytes) else { return [:] }
    return Dictionary(uniqueKeysWithValues: Array(members))
      .filter { $0.value != .none && !["architectures", "auto_map"].contains($0.key) }
  }
}
