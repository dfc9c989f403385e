extension TemplateEvaluator {
  func markup(
    _ filter: TemplateFilter, _ value: Value, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .escape: return try escaped(value)
    case .forceescape: return try escaped(try text(try string(value)))
    case .safe: return try text(try string(value), isMarkup: true)
    case .string:
      if case .string = value { return value }
      return try text(try string(value))
    case .striptags: return try text(try string(value).withoutTags)
    case .urlencode: return try text(try urlencoded(value))
    case .urlize:
      return try text(try urlized(try escaped(value).text ?? "", given), isMarkup: autoescape)
    default: return try attributes(value, given)
    }
  }

  /// The keys and values of a mapping as attributes of HTML.
  private func attributes(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    guard case .mapping(let mapping) = value else { throw fault("xmlattr of \(described(value))") }
    var parts: [String] = []
    for (key, value) in mapping.entries {
      if case .none = value { continue }
      guard value.isDefined else { continue }
      guard let name = key.value.text,
        !name.unicodeScalars.contains(where: {
          $0.isASCII && $0.isBlank || "/>=".unicodeScalars.contains($0)
        })
      else { throw fault("xmlattr: \(try string(key.value)) is no name of an attribute") }
      let (name2, text) = (try escaped(key.value).text ?? "", try escaped(value).text ?? "")
      parts.append("\(name2)=\"\(text)\"")
    }
    let result = try joined(parts, by: " ")
    let space = given[0].map(\.isTrue) ?? true
    return try text((space && !result.isEmpty ? " " : "") + result, isMarkup: autoescape)
  }

  private func urlencoded(_ value: Value) throws(TemplateError) -> String {
    var pairs: [Value] = []
    switch value {
    case .mapping(let mapping): pairs = try elements(of: .object(MappingView(.items, of: mapping)))
    case .list, .tuple, .range, .undefined: pairs = try elements(of: value)
    case .object(let object) where object is ValueIterator || object is MappingView:
      pairs = try elements(of: value)
    default: return try quoted(try string(value), keepsSlash: true)
    }
    var parts: [String] = []
    for pair in pairs {
      let sides = try elements(of: pair)
      guard sides.count == 2 else { throw fault("urlencode: expected pairs") }
      let key = try quoted(try string(sides[0]), keepsSlash: false)
      parts.append("\(key)=\(try quoted(try string(sides[1]), keepsSlash: false))")
    }
    return try joined(parts, by: "&")
  }

  private func quoted(_ string: String, keepsSlash: Bool) throws(TemplateError) -> String {
    try require(bytes: 3 * string.utf8.count)
    var result: [UInt8] = []
    for byte in string.utf8 {
      let scalar = Unicode.Scalar(byte)
      if byte < 128,
        scalar.isLetterOrDigit || "_.-~".unicodeScalars.contains(scalar)
          || keepsSlash && scalar == "/"
      {
        result.append(byte)
      } else if !keepsSlash, scalar == " " {
        result.append(UInt8(ascii: "+"))
      } else {
        result.append(contentsOf: "%\(scalar.hexadecimal(2).uppercased())".utf8)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

extension String {
  /// Without tags and comments of HTML, with single blanks between words, entities as characters.
  var withoutTags: String {
    var (parts, rest, hasTags) = ([String](), utf8[...], false)
    while let start = rest.firstIndex(of: UInt8(ascii: "<")) {
      let tail = rest[start...]
      let isComment = tail.starts(with: "<!--".utf8)
      let inner = isComment ? tail.dropFirst(4) : tail
      guard let end = inner.firstRange(of: isComment ? "-->" : ">") else { break }
      parts.append(String(Substring(rest[..<start])))
      hasTags = true
      rest = rest[end.upperBound...]
    }
    parts.append(String(Substring(rest)))
    let text = hasTags ? parts.joined() : self
    return text.words().joined(separator: " ").withoutEntities
  }

  private static let entities: [String: Unicode.Scalar] = [
    "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{a0}", "copy": "©",
    "reg": "®", "laquo": "«", "raquo": "»", "hellip": "…", "mdash": "—", "ndash": "–",
    "middot": "·",
    "bull": "•", "times": "×", "euro": "€", "trade": "™", "larr": "←", "rarr": "→", "deg": "°",
  ]

  /// With characters in place of numbers and of common names of these.
  private var withoutEntities: String {
    guard utf8.contains(UInt8(ascii: "&")) else { return self }
    var result = ""
    for (index, part) in parts(between: "&").enumerated() {
      guard index > 0 else {
        result = part
        continue
      }
      guard let end = part.firstIndex(of: ";"), part.distance(from: part.startIndex, to: end) < 12
      else {
        result += "&" + part
        continue
      }
      let name = part[..<end]
      var scalar = Self.entities[String(name)]
      if name.hasPrefix("#x") || name.hasPrefix("#X") {
        scalar = UInt32(name.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init)
      } else if name.hasPrefix("#") {
        scalar = UInt32(name.dropFirst()).flatMap(Unicode.Scalar.init)
      }
      result += scalar.map { String($0) + part[part.index(after: end)...] } ?? "&" + part
    }
    return result
  }
}
