/// The methods of Python's values that change nothing.
enum TemplateMethod {
  private static let ofStrings: Set = [
    "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format",
    "format_map", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier",
    "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust",
    "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
    "title", "translate", "upper", "zfill",
  ]
  private static let ofMappings: Set = ["copy", "fromkeys", "get", "items", "keys", "values"]

  /// Whether `value` has the method `name`.
  static func has(_ name: String, _ value: Value) -> Bool {
    switch value {
    case .string: ofStrings.contains(name)
    case .list: ["copy", "count", "index"].contains(name)
    case .tuple, .range: ["count", "index"].contains(name)
    case .mapping: ofMappings.contains(name)
    case .boolean, .integer, .big:
      ["as_integer_ratio", "bit_count", "bit_length", "conjugate"].contains(name)
    case .real: ["conjugate", "is_integer"].contains(name)
    case .object(let object):
      switch object {
      case is LoopObject: ["changed", "cycle"].contains(name)
      case is Cycler: ["next", "reset"].contains(name)
      case let object as FunctionObject: object.function == .dict && name == "fromkeys"
      case let view as MappingView: view.part != .values && name == "isdisjoint"
      default: false
      }
    default: false
    }
  }
}

extension TemplateEvaluator {
  /// The result of a method of a value.
  func call(_ method: MethodObject, _ arguments: TemplateArguments) throws(TemplateError) -> Value {
    let name = method.name
    switch method.receiver {
    case .string(let text): return try call(name, text, arguments)
    case .mapping(let mapping): return try call(name, mapping, arguments)
    case .list(let values) where name == "copy":
      _ = try bind(arguments, to: [], of: name)
      return try list(values.elements)
    case .list, .tuple, .range: return try search(name, method.receiver, arguments)
    case .boolean, .integer, .big, .real: return try call(name, number: method.receiver, arguments)
    case .object(let object): return try call(name, object, arguments)
    default: throw fault("\(method.receiver.kind) has no method \(name)")
    }
  }

  private func call(
    _ name: String, _ mapping: Mapping, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "get":
      guard arguments.named.isEmpty else { throw fault("get takes no names") }
      let given = try bind(arguments, to: ["key", "default"], required: 1, of: name)
      return mapping.entries[try key(given[0] ?? .none)] ?? given[1] ?? .none
    case "fromkeys": return try mappingFromKeys(arguments)
    default: _ = try bind(arguments, to: [], of: name)
    }
    if name == "copy" { return try self.mapping(mapping.entries) }
    guard let part = MappingView.Part(rawValue: name) else {
      throw fault("a mapping has no method \(name)")
    }
    return try object(MappingView(part, of: mapping))
  }

  private func mappingFromKeys(_ arguments: TemplateArguments) throws(TemplateError) -> Value {
    let given = try bind(arguments, to: ["iterable", "value"], required: 1, of: "fromkeys")
    var result = Mapping([:], in: memory).entries
    for element in try elements(of: given[0] ?? .none) {
      result[try key(element)] = given[1] ?? Value.none
    }
    return try mapping(result)
  }

  /// `count` and `index` of a list.
  private func search(
    _ name: String, _ value: Value, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    let parameters = name == "count" ? ["value"] : ["value", "start", "stop"]
    let given = try bind(arguments, to: parameters, required: 1, of: name)
    let (elements, sought) = (try elements(of: value), given[0] ?? .none)
    var count = 0
    func bound(_ index: Int, _ standard: Int) -> Int {
      guard let bound = given[index]?.index else { return standard }
      return max(0, bound < 0 ? bound + elements.count : bound)
    }
    if name == "count" {
      for element in elements where try areAlike(element, sought) {
        count += 1
      }
      return .integer(count)
    }
    let (start, stop) = (bound(1, 0), min(bound(2, elements.count), elements.count))
    if start < stop {
      for index in start..<stop
      where try areAlike(elements[index], sought) {
        return .integer(index)
      }
    }
    throw fault("index: the list has no such element")
  }

  private func call(
    _ name: String, number value: Value, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    _ = try bind(arguments, to: [], of: name)
    guard let number = value.number else { return .none }
    switch name {
    case "conjugate": return number.value
    case "as_integer_ratio": return try tuple([number.value, .integer(1)])
    case "bit_length": return .integer(number.big?.bitCount ?? 0)
    case "bit_count": return .integer(number.big?.digits.reduce(0) { $0 + $1.nonzeroBitCount } ?? 0)
    default: return .boolean(number.real.isFinite && number.real == number.real.rounded())
    }
  }

  private func call(
    _ name: String, _ object: TemplateObject, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    switch object {
    case let loop as LoopObject:
      guard arguments.named.isEmpty else { throw fault("loop.\(name) takes no names") }
      let values = arguments.positional
      if name == "cycle" {
        guard !values.isEmpty else { throw fault("loop.cycle lacks its items") }
        return values[max(0, loop.index0) % values.count]
      }
      if let old = loop.changedValue, try equal(try list(old), try list(values)) {
        return .boolean(false)
      }
      loop.changedValue = values
      return .boolean(true)
    case let cycler as Cycler:
      _ = try bind(arguments, to: [], of: name)
      if name == "reset" {
        cycler.position = 0
        return .none
      }
      defer { cycler.position = (cycler.position + 1) % cycler.items.count }
      return cycler.items[cycler.position]
    case let view as MappingView:
      let given = try bind(arguments, to: ["other"], required: 1, of: name)
      for element in try elements(of: given[0] ?? .none)
      where try contains(.object(view), element) { return .boolean(false) }
      return .boolean(true)
    default: return try mappingFromKeys(arguments)
    }
  }
}
