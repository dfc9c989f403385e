import OrderedCollections

extension TemplateEvaluator {
  /// `value.name`: a member, or else an item.
  func attribute(_ name: String, of value: Value) throws(TemplateError) -> Value {
    if case .undefined = value {
      // Python's own members are out of reach, which is no error.
      if Self.membersOfAll.contains(name) { return .undefined(name) }
      throw fault("\(described(value)), and has no member \(name)")
    }
    return try member(name, of: value) ?? entry(name, of: value) ?? missing(name, of: value)
  }

  /// `value[index]`: an item, or else a member.
  func item(_ index: Value, of value: Value) throws(TemplateError) -> Value {
    switch value {
    case .undefined: throw fault("\(described(value)), and has no items")
    case .string(let text):
      if let position = index.index, let scalar = text.scalar(at: position) {
        return try self.text(String(scalar), isMarkup: text.isMarkup)
      }
    case .list(let values), .tuple(let values):
      if let position = index.index, let place = values.elements.place(of: position) {
        return values.elements[place]
      }
    case .range(let range):
      if let position = index.index {
        let place = position < 0 ? position + range.count : position
        if 0..<range.count ~= place { return range[place] }
      }
    case .mapping(let mapping):
      if index.isHashable, let found = mapping.entries[try key(index)] { return found }
    default: break
    }
    guard let name = index.text else {
      return .undefined(Undefined("\(value.kind) has no such item"))
    }
    return try member(name, of: value) ?? missing(name, of: value)
  }

  private static let membersOfAll: Set = [
    "__bool__", "__call__", "__class__", "__doc__", "__eq__", "__getitem__", "__hash__", "__init__",
    "__iter__", "__len__", "__module__", "__repr__", "__str__", "_undefined_hint",
    "_undefined_name",
    "_undefined_obj",
  ]

  private func missing(_ name: String, of value: Value) -> Value {
    .undefined(Undefined("\(value.kind) has no member \(name)"))
  }

  private func entry(_ name: String, of value: Value) -> Value? {
    if case .mapping(let mapping) = value { mapping[name] } else { nil }
  }

  /// The member that Python's kind of value has; those that change a value are not there.
  private func member(_ name: String, of value: Value) throws(TemplateError) -> Value? {
    switch value {
    case .undefined, .none: return nil
    case .boolean, .integer, .big, .real:
      return try numberMember(name, of: value)
    case .tuple(let values):
      if let index = values.names.firstIndex(of: name) { return values.elements[index] }
    case .range(let range):
      if let found = ["start": range.start, "stop": range.stop, "step": range.step][name] {
        return .integer(found)
      }
    case .object(let object):
      if let found = try member(name, of: object) { return found }
    default: break
    }
    guard TemplateMethod.has(name, value) else { return nil }
    return try self.object(MethodObject(name, of: value))
  }

  private func member(_ name: String, of object: TemplateObject) throws(TemplateError) -> Value? {
    switch object {
    case let namespace as Namespace: return namespace.members[MappingKey(name, in: memory)]
    case let loop as LoopObject: return try member(name, of: loop)
    case let macro as MacroObject:
      switch name {
      case "name":
        return try macro.macro.name.map { name throws(TemplateError) in try text(name) }
          ?? Value.none
      case "arguments":
        var names: [Value] = []
        for parameter in macro.macro.parameters { names.append(try text(parameter.name)) }
        return try list(names)
      case "catch_kwargs": return .boolean(uses(macro.macro.special.named))
      case "catch_varargs": return .boolean(uses(macro.macro.special.extra))
      case "caller": return .boolean(uses(macro.macro.special.caller))
      default: return nil
      }
    case let cycler as Cycler:
      switch name {
      case "current": return cycler.items[cycler.position]
      case "items": return try tuple(cycler.items)
      case "pos": return .integer(cycler.position)
      default: return nil
      }
    case let joiner as Joiner:
      switch name {
      case "sep": return joiner.separator
      case "used": return .boolean(joiner.isUsed)
      default: return nil
      }
    case let view as MappingView: return name == "mapping" ? .mapping(view.mapping) : nil
    case let block as BlockObject:
      return block.name == nil && template.blocks[name] != nil
        ? .object(BlockObject(name)) : nil
    default: return nil
    }
  }

  /// Whether a macro uses one of its special names.
  func uses(_ special: VariableUse) -> Bool { template.scopes.places[special.id] != nil }

  private func member(_ name: String, of loop: LoopObject) throws(TemplateError) -> Value? {
    switch name {
    case "index": return .integer(loop.index0 + 1)
    case "index0": return .integer(loop.index0)
    case "depth": return .integer(loop.depth0 + 1)
    case "depth0": return .integer(loop.depth0)
    case "first": return .boolean(loop.index0 == 0)
    case "last": return .boolean(try loop.peek() == nil)
    case "length": return .integer(try count(of: loop))
    case "revindex": return .integer(try count(of: loop) - loop.index0)
    case "revindex0": return .integer(try count(of: loop) - loop.index0 - 1)
    case "previtem":
      return loop.index0 == 0
        ? .undefined(Undefined("there is no previous item")) : loop.previous
    case "nextitem": return try loop.peek() ?? .undefined(Undefined("there is no next item"))
    default: return nil
    }
  }

  /// How many elements a loop visits in all.
  func count(of loop: LoopObject) throws(TemplateError) -> Int {
    if let known = loop.knownCount { return known }
    var count = try length(of: loop.source)
    if count == nil {
      let rest = try elements(of: .object(loop.elements))
      loop.elements = ValueIterator(rest, depth: loop.elements.depth)
      count = loop.index0 + 1 + rest.count + (loop.following == nil ? 0 : 1)
    }
    loop.knownCount = count
    return count ?? 0
  }

  private func numberMember(_ name: String, of value: Value) throws(TemplateError) -> Value? {
    guard let number = value.number else { return nil }
    switch (name, number) {
    case ("real", _): return number.value
    case ("imag", .real): return .real(0)
    case ("imag", _), ("numerator", .integer), ("numerator", .big):
      return name == "imag" ? .integer(0) : number.value
    case ("denominator", .integer), ("denominator", .big): return .integer(1)
    default: break
    }
    guard TemplateMethod.has(name, value) else { return nil }
    return try object(MethodObject(name, of: value))
  }

  /// `value[start:stop:step]`.
  func slice(_ value: Value, _ bounds: [Value]) throws(TemplateError) -> Value {
    var given: [Int?] = []
    for bound in bounds {
      guard case .none = bound else {
        // Bounds beyond machine integers are as good as the largest.
        if case .big(let big) = bound {
          given.append(big.integer.isNegative ? .min / 2 : .max / 2)
          continue
        }
        guard let index = bound.index else { throw fault("a slice to \(described(bound))") }
        given.append(max(min(index, .max / 2), .min / 2))
        continue
      }
      given.append(nil)
    }
    let step = given[2] ?? 1
    guard step != 0 else { throw fault("a slice in steps of 0") }
    func clipped(_ index: Int, _ count: Int) -> Int {
      let place = index < 0 ? index + count : index
      return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
    }
    func places(_ count: Int) -> (start: Int, stop: Int) {
      (
        given[0].map { clipped($0, count) } ?? (step > 0 ? 0 : count - 1),
        given[1].map { clipped($0, count) } ?? (step > 0 ? count : -1)
      )
    }
    switch value {
    case .string(let text):
      try spend(text.string.utf8.count / 64)
      return try self.text(text.slice(step, places), isMarkup: text.isMarkup)
    case .list(let values), .tuple(let values):
      let (start, stop) = places(values.elements.count)
      let part = stride(from: start, to: stop, by: step).map { values.elements[$0] }
      if case .list = value { return try list(part) }
      return try tuple(part)
    case .range(let range):
      let (start, stop) = places(range.count)
      let (wide, overflows) = range.step.multipliedReportingOverflow(by: step)
      guard !overflows,
        let part = RangeValue(
          range.start &+ start &* range.step, range.start &+ stop &* range.step, wide)
      else { throw fault("a range is too large") }
      return .range(part)
    default: throw fault("a slice of \(described(value))")
    }
  }
}

extension Array {
  /// The place that `index` means, which counts from the end where it is negative.
  func place(of index: Int) -> Int? {
    let place = index < 0 ? index + count : index
    return indices.contains(place) ? place : nil
  }
}

extension Text {
  /// The scalar at `index`, which counts from the end where it is negative.
  func scalar(at index: Int) -> Unicode.Scalar? {
    let scalars = string.unicodeScalars
    if index >= 0 {
      return scalars.index(scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex)
        .flatMap { $0 == scalars.endIndex ? nil : scalars[$0] }
    }
    return scalars.index(scalars.endIndex, offsetBy: index, limitedBy: scalars.startIndex)
      .map { scalars[$0] }
  }

  /// The part of the string between the places that `places` gives for its length.
  func slice(_ step: Int, _ places: (Int) -> (start: Int, stop: Int)) -> String {
    let scalars = string.unicodeScalars
    let (start, stop) = places(scalars.count)
    if step == 1 {
      guard start < stop else { return "" }
      let first = scalars.index(scalars.startIndex, offsetBy: start)
      return String(scalars[first..<scalars.index(first, offsetBy: stop - start)])
    }
    let all = Array(scalars)
    var result = String.UnicodeScalarView()
    for index in stride(from: start, to: stop, by: step) { result.append(all[index]) }
    return String(result)
  }
}
