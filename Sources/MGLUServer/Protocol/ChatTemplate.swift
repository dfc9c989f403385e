/// How the messages of a chat become one text.
public struct ChatTemplate: Sendable {
  /// The template that came with the model, if one did. None is understood yet.
  public let source: String?

  /// A template of Hugging Face's kind, or, without one, plain lines that begin with who speaks.
  public init(source: String? = nil) { self.source = source }

  /// The template in the `tokenizer_config.json` of `folder`, where it has one.
  public init(contentsOf folder: String) throws(CheckpointError) {
    struct Configuration: Decodable {
      /// Text, or a list of named texts.
      struct Template: Decodable {
        let text: String

        init(from decoder: any Swift.Decoder) throws {
          text = (try? decoder.singleValueContainer().decode(String.self)) ?? ""
        }
      }
      let template: Template?
      enum CodingKeys: String, CodingKey { case template = "chat_template" }
    }
    let path = folder + "/tokenizer_config.json"
    source =
      Folder.kind(of: path) == .file
      ? try ModelFolder.decode(Configuration.self, path: path).template?.text : nil
  }

  /// What ends an answer beside the model's own end of text.
  var stops: [String] { source == nil ? ["\nUser:"] : [] }

  /// The text whose continuation is the answer.
  func render(_ messages: [ChatMessage]) throws(APIError) -> String {
    guard source == nil else {
      throw .invalid(
        "the chat template of this model is not understood; use /v1/completions",
        param: "messages", code: "unsupported_chat_template")
    }
    var text = ""
    for (index, message) in messages.enumerated() {
      switch message.role {
      case "system", "developer": text += message.text + "\n"
      case "user": text += "User: " + message.text + "\n"
      case "assistant": text += "Assistant: " + message.text + "\n"
      default:
        throw .invalid(
          "role \(message.role): expected system, user or assistant",
          param: "messages.\(index).role", code: "invalid_value")
      }
    }
    return text + "Assistant:"
  }
}
