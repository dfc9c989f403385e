import OrderedCollections

/// The members of a JSON object of a request, read by name. `null` is the same as no member.
struct RequestFields {
  /// Where the object stands in the body; empty for the body itself.
  let place: String
  /// The members that are not null, in their order.
  let all: OrderedDictionary<String, TemplateValue>

  /// The members of `value`, which stands at `place`.
  init(_ value: TemplateValue, at place: String = "") throws(APIError) {
    guard case .mapping(let members) = value else {
      throw .invalid(
        "\(place.isEmpty ? "the body" : place): expected an object",
        param: place.isEmpty ? nil : place, code: "invalid_value")
    }
    self.place = place
    all = members.filter { $0.value != TemplateValue.none }
  }

  /// The first of these names that is there, or the last.
  func first(of names: String...) -> String {
    names.first { self[$0] != nil } ?? names[names.count - 1]
  }

  subscript(_ name: String) -> TemplateValue? { all[name] }

  /// The names of the members that are not null, in their order.
  var names: [String] { Array(all.keys) }

  /// The full name of a member.
  func path(_ name: String) -> String { place.isEmpty ? name : place + "." + name }

  /// The error of a member that is not as it must be.
  func wrong(_ name: String, expected: String) -> APIError {
    .invalid(
      "\(path(name)) is of the wrong type: expected \(expected)", param: path(name),
      code: "invalid_value")
  }

  /// The error of a member that must be there.
  func missing(_ name: String) -> APIError {
    .invalid("\(path(name)) is missing", param: path(name), code: "missing_parameter")
  }

  func boolean(_ name: String) throws(APIError) -> Bool? {
    guard let value = self[name] else { return nil }
    guard case .boolean(let result) = value else { throw wrong(name, expected: "true or false") }
    return result
  }

  func string(_ name: String) throws(APIError) -> String? {
    guard let value = self[name] else { return nil }
    guard case .string(let result) = value else { throw wrong(name, expected: "a string") }
    return result
  }

  /// A whole number; one that is written with a point is one, too.
  func integer(_ name: String) throws(APIError) -> Int? {
    guard let value = self[name] else { return nil }
    guard let result = value.wholeNumber else {
      throw wrong(name, expected: "a whole number of at most 64 bits")
    }
    return result
  }

  func number(_ name: String) throws(APIError) -> Float? {
    guard let value = self[name] else { return nil }
    switch value {
    case .integer(let result): return Float(result)
    case .real(let result) where Float(result).isFinite: return Float(result)
    case .largeInteger(let digits):
      if let result = Float(digits), result.isFinite { return result }
    default: break
    }
    throw wrong(name, expected: "a number")
  }

  func array(_ name: String) throws(APIError) -> [TemplateValue]? {
    guard let value = self[name] else { return nil }
    guard case .list(let result) = value else { throw wrong(name, expected: "a list") }
    return result
  }

  func object(_ name: String) throws(APIError) -> RequestFields? {
    try self[name].map { value throws(APIError) in try RequestFields(value, at: path(name)) }
  }

  /// A list of token ids.
  func tokens(_ name: String) throws(APIError) -> [Int32]? {
    try array(name).map { values throws(APIError) in
      guard let tokens = values.tokens else { throw wrong(name, expected: "a list of token ids") }
      return tokens
    }
  }
}

extension TemplateValue {
  /// The value as a whole number, if it is one.
  var wholeNumber: Int? {
    switch self {
    case .integer(let value): value
    case .real(let value): Int(exactly: value)
    default: nil
    }
  }
}

extension [TemplateValue] {
  /// The values as token ids, if all are.
  var tokens: [Int32]? {
    var tokens: [Int32] = []
    tokens.reserveCapacity(count)
    for value in self {
      guard let token = value.wholeNumber.flatMap({ Int32(exactly: $0) }) else { return nil }
      tokens.append(token)
    }
    return tokens
  }
}
