import MGLUTemplates

extension ModelConfiguration {
  /// The keys of `config.json` in which this configuration differs from `other`, with both values where
  /// they are short. What ends a text is left out, as the tokenizer has a part in it.
  /// So is the family, which is how a file spells a model.
  package func differences(from other: ModelConfiguration) -> [String] {
    var counterpart = other
    (counterpart.family, counterpart.eosTokenIDs) = (family, eosTokenIDs)
    guard self != counterpart else { return [] }
    let (own, others) = (document, counterpart.document)
    let keys = Set(own.keys).union(others.keys).sorted()
    return keys.compactMap { key in
      guard own[key] != others[key] else { return nil }
      guard let mine = Self.words(own[key]), let theirs = Self.words(others[key]) else {
        return "another \(key)"
      }
      return "\(key) \(mine), not \(theirs)"
    }
  }

  /// The keys of `config.json` and their values in words, of a SwiGLU in place of the unit.
  package var keysBesideUnit: [String: String] {
    var configuration = self
    (configuration.feedForward.unit, configuration.feedForward.activation) = (.glu, .silu)
    return configuration.document.mapValues { Self.words($0) ?? "\($0)" }
  }

  private var document: [String: TemplateValue] {
    var configuration = self
    configuration.eosTokenIDs = []
    let bytes = ModelFolder.json(HuggingFaceConfiguration(configuration))
    guard case .mapping(let members)? = try? TemplateValue(parsing: bytes) else { return [:] }
    return Dictionary(uniqueKeysWithValues: Array(members))
      .filter { $0.value != .none && !["architectures", "auto_map"].contains($0.key) }
  }

  private static func words(_ value: TemplateValue?) -> String? {
    switch value {
    case nil: "none"
    case .boolean(let value)?: "\(value)"
    case .integer(let value)?: "\(value)"
    case .real(let value)?: "\(value)"
    case .string(let value)?: value
    default: nil
    }
  }
}
