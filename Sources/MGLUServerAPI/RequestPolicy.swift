/// What becomes of the fields of a request that nothing reads: a few do no harm and are ignored, some are
/// taken with the values that ask for nothing, and all others are refused by name.
enum RequestPolicy {
  /// Fields that change nothing of a response: labels of the client's, hints of speed, and `model`, as
  /// a server has one model under any name.
  static let ignored: Set<String> = [
    "model", "user", "metadata", "safety_identifier", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "prediction", "parallel_tool_calls", "cache_prompt", "cache_salt",
    "request_id",
  ]

  /// Whether a field that is not supported asks for nothing with its value.
  static func isWithoutEffect(_ name: String, _ value: TemplateValue) -> Bool {
    switch (name, value) {
    case ("response_format", .mapping(let members)):
      if case .string("text")? = members["type"] {
        members.count == 1
      } else {
        false
      }
    case ("functions", .list(let values)), ("bad_words", .list(let values)): values.isEmpty
    case ("function_call", .string("none")), ("function_call", .string("auto")),
      ("verbosity", .string("medium")), ("suffix", .string("")):
      true
    case ("modalities", .list(let values)):
      if values.count == 1, case .string("text") = values[0] { true } else { false }
    case ("length_penalty", _): value.wholeNumber == 1
    case ("priority", _), ("prompt_logprobs", _): value.wholeNumber == 0
    case ("skip_special_tokens", .boolean(true)), ("spaces_between_special_tokens", .boolean),
      ("parse_special", .boolean(true)):
      true
    case ("store", .boolean(false)), ("use_beam_search", .boolean(false)),
      ("echo", .boolean(false)),
      ("include_stop_str_in_output", .boolean(false)), ("return_token_ids", .boolean(false)),
      ("return_tokens_as_token_ids", .boolean(false)), ("include_reasoning", .boolean(true)):
      true
    default: false
    }
  }

  /// Throws the first field that is neither `read` nor harmless.
  static func check(_ fields: RequestFields, read: Set<String>) throws(APIError) {
    for name in fields.names where !read.contains(name) && !ignored.contains(name) {
      guard let value = fields[name], !isWithoutEffect(name, value) else { continue }
      throw unsupported(name)
    }
  }

  /// The error of a field that the server does not know, or cannot do what it asks for.
  static func unsupported(_ name: String, _ remark: String = "leave it out") -> APIError {
    .invalid(
      "\(name) is not supported by this server; \(remark)", param: name,
      code: "unsupported_parameter")
  }
}
