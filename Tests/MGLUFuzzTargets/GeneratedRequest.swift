/// Bodies of requests, of fields that are known and values that mostly fit.
enum GeneratedRequest {
  private static let values = [
    "stream": "true", "temperature": "0.7", "n": "2", "logprobs": "true", "echo": "true",
    "top_logprobs": "2",
    "stop": #"["a", "\n"]"#, "stream_options": #"{"include_usage": true}"#, "top_p": "0.5",
    "top_k": "3",
    "min_p": "0.1", "seed": "5", "presence_penalty": "1", "frequency_penalty": "-1.5",
    "repetition_penalty": "1.1", "logit_bias": #"{"97": 5, "5": -100}"#, "min_tokens": "2",
    "stop_token_ids": "[97, 98]", "ignore_eos": "true", "max_completion_tokens": "3",
    "suffix": #""a""#,
    "best_of": "1", "model": #""tiny""#,
    "tools": #"[{"type": "function", "function": {"name": "f"}}]"#,
    "tool_choice": #""none""#, "response_format": #"{"type": "text"}"#, "user": #""u""#,
    "chat_template_kwargs": #"{"thinking": "t"}"#, "add_generation_prompt": "false",
    "continue_final_message": "true", "functions": "[]", "with_pieces": "true",
    "add_special": "true",
    "content": #""ab""#, "tokens": "[97, 256]", "metadata": "{}", "store": "false",
    "no_such_field": "1",
  ]
  private static let names = values.keys.sorted()

  static func body(_ choices: inout ByteChoices, _ route: RequestTargets.Route) -> String {
    var fields: [String] = []
    if !choices.isOne(of: 8) {
      switch route {
      case .completions:
        fields.append(
          #""prompt":"#
            + choices.pick([#""ab""#, #"["a", "b"]"#, "[97, 98]", #"[[97], "x"]"#, #""""#]))
      case .chat: fields.append(#""messages":[{"role":"user","content":"ab"}]"#)
      case .tokenize: fields.append(#""prompt":\#(choices.text().json)"#)
      case .detokenize: fields.append(#""tokens":[1,2]"#)
      }
    }
    fields.append(#""max_tokens":\#(choices.number(below: 6))"#)
    return object(&choices, fields)
  }

  /// A chat with tool calls, tool results, parts and null content.
  static func chat(_ choices: inout ByteChoices) -> String {
    let messages = choices.list(upTo: 5) { choices in
      var fields = [
        #""role":"#
          + choices.pick(["user", "assistant", "system", "tool", "developer", "function", ""]).json
      ]
      switch choices.number(below: 6) {
      case 0, 1: fields.append(#""content":\#(choices.text().json)"#)
      case 2: fields.append(#""content":null"#)
      case 3:
        let parts = choices.list(upTo: 3) { choices in
          let type = choices.pick(["text", "text", "image_url", "refusal"])
          return #"{"type":"\#(type)","text":\#(choices.text().json)}"#
        }
        fields.append(#""content":[\#(parts.joined(separator: ","))]"#)
      case 4: fields.append(#""content":\#(value(&choices, 0))"#)
      default: break
      }
      if choices.isOne(of: 3) {
        let arguments = choices.pick([#""{\"a\": 1}""#, #""not json""#, #"{"a":1}"#, "null"])
        fields.append(
          #""tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":\#(arguments)}}]"#
        )
      }
      for name in ["reasoning_content", "name", "tool_call_id", "refusal"]
      where choices.isOne(of: 5) {
        fields.append(
          "\(name.json):\(choices.isOne(of: 3) ? value(&choices, 0) : choices.text().json)")
      }
      return "{\(fields.joined(separator: ","))}"
    }
    return object(
      &choices, [#""messages":[\#(messages.joined(separator: ","))]"#, #""max_tokens":2"#])
  }

  private static func object(_ choices: inout ByteChoices, _ fields: [String]) -> String {
    var fields = fields
    for _ in 0..<choices.number(below: 7) {
      let name = choices.pick(names)
      let fits = !choices.isOne(of: 3)
      fields.append("\(name.json):\(fits ? values[name] ?? "null" : value(&choices, 0))")
    }
    return "{\(fields.joined(separator: ","))}"
  }

  /// Any JSON.
  private static func value(_ choices: inout ByteChoices, _ depth: Int) -> String {
    switch choices.number(below: depth > 4 ? 6 : 9) {
    case 0: return choices.pick(["null", "true", "false", "[]", "{}"])
    case 1: return "\(choices.number() - 128)"
    case 2:
      return choices.pick([
        "0", "1", "1024", "1025", "-0", "0.1", "1.5", "1e400", "-1e400", "1e-400", "1e18", "3.5e38",
        "2147483648",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "18446744073709551616", "NaN",
      ])
    case 3: return choices.text().json
    case 4:
      return choices.pick([
        #""\ud800""#, #""\udc00\ud800""#, #""\ud83d\ude00""#, #""auto""#, #""text""#,
      ])
    case 5: return "[\(choices.number(below: 260))]"
    case 6: return "[\(choices.list(upTo: 4) { value(&$0, depth + 1) }.joined(separator: ","))]"
    case 7:
      let members = choices.list(upTo: 3) { choices in
        let name = choices.pick([
          "role", "content", "type", "text", "a", "include_usage", "97", "name",
        ])
        return "\(name.json):\(value(&choices, depth + 1))"
      }
      return "{\(members.joined(separator: ","))}"
    default: return #"[{"role":"user","content":\#(value(&choices, depth + 1))}]"#
    }
  }
}
