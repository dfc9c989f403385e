extension ChatTemplate {
  /// The template and special tokens of the model in `folder`: `chat_template.jinja`, or what
  /// `tokenizer_config.json` has; where it has none, a plain one. Throws where there is no such folder or file.
  public init(contentsOf folder: String) throws(CheckpointError) {
    guard Folder.kind(of: folder) != nil else {
      throw CheckpointError(.unreadable, "\(folder): no such file or folder")
    }
    let parts = try ModelFolder.parts(of: folder)
    let configuration =
      try ModelFolder.decode(Configuration.self, "tokenizer_config.json", of: parts)
      ?? Configuration(template: nil, specialTokens: [:])
    self.init(
      source: try Self.file(of: parts) ?? configuration.template,
      specialTokens: configuration.specialTokens)
  }

  private static func file(of parts: any ModelParts) throws(CheckpointError) -> String? {
    let name = "chat_template.jinja"
    guard let document = try parts.document(name) else { return nil }
    guard let text = String(validating: document, as: UTF8.self) else {
      throw CheckpointError(.malformed, "\(parts.place(of: name)): not valid UTF-8")
    }
    return text
  }

  /// The parts of a `tokenizer_config.json` that templates need.
  private struct Configuration: Decodable {
    let template: String?
    let specialTokens: [String: String]

    private enum CodingKeys: String, CodingKey, CaseIterable {
      case template = "chat_template"
      case start = "bos_token"
      case end = "eos_token"
      case unknown = "unk_token"
      case padding = "pad_token"
      case separator = "sep_token"
      case mask = "mask_token"
      case classification = "cls_token"
    }

    /// A text that has a name.
    private struct Named: Decodable {
      let name: String
      let template: String
    }

    /// A token, as a text or with all that is known of it.
    private struct Token: Decodable { let content: String }

    init(template: String?, specialTokens: [String: String]) {
      (self.template, self.specialTokens) = (template, specialTokens)
    }

    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: CodingKeys.self)
      if let templates = try? values.decode([Named].self, forKey: .template) {
        template = (templates.first { $0.name == "default" } ?? templates.first)?.template
      } else {
        template = try values.decodeIfPresent(String.self, forKey: .template)
      }
      var tokens: [String: String] = [:]
      for key in CodingKeys.allCases where key != .template {
        tokens[key.rawValue] =
          (try? values.decode(String.self, forKey: key))
          ?? (try? values.decode(Token.self, forKey: key))?.content
      }
      specialTokens = tokens
    }
  }
}
