import OrderedCollections

extension TemplateEvaluator {
  func sequence(
    _ filter: TemplateFilter, _ value: Value, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .batch: return try batch(value, given)
    case .slice: return try slices(value, given)
    case .dictsort: return try dictsort(value, given)
    case .items: return try items(value)
    case .first:
      return try iterator(value).next() ?? .undefined(Undefined("there is no first element"))
    case .last: return try last(value)
    case .list: return try list(try elements(of: value))
    case .random:
      guard let count = try length(of: value), value.isIndexed else {
        throw fault("a random element of \(value.kind)")
      }
      guard count > 0 else { return .undefined(Undefined("there is no element")) }
      return try item(.integer(Int.random(in: 0..<count)), of: value)
    case .reverse: return try reversed(value)
    case .min, .max: return try extreme(filter, value, given)
    case .unique: return try unique(value, given)
    case .sort: return try sort(value, given)
    case .groupby: return try groupby(value, given)
    default: return try sum(value, given)
    }
  }

  private func last(_ value: Value) throws(TemplateError) -> Value {
    let missing = Value.undefined(Undefined("there is no last element"))
    if case .object(let view as MappingView) = value {
      return try elements(of: .object(view)).last ?? missing
    }
    if case .mapping(let mapping) = value { return mapping.entries.keys.last?.value ?? missing }
    guard value.isIndexed, let count = try length(of: value) else {
      throw fault("the last element of \(described(value))")
    }
    return count == 0 ? missing : try item(.integer(count - 1), of: value)
  }

  private func reversed(_ value: Value) throws(TemplateError) -> Value {
    if case .string(let text) = value {
      return try self.text(
        String(String.UnicodeScalarView(text.string.unicodeScalars.reversed())),
        isMarkup: text.isMarkup)
    }
    let elements = Array(try elements(of: value).reversed())
    switch value {
    case .list, .tuple, .range, .mapping, .undefined:
      return try object(
        ValueIterator(elements, name: "reversed", depth: value.depth + 1))
    case .object(let object) where object is MappingView:
      return try self.object(
        ValueIterator(elements, name: "dict_reversekeyiterator", depth: value.depth + 1))
    default: return try list(elements)
    }
  }

  private func items(_ value: Value) throws(TemplateError) -> Value {
    switch value {
    case .undefined: return .object(ValueIterator([], name: "generator"))
    case .mapping(let mapping):
      let source = Value.object(MappingView(.items, of: mapping))
      let entries = try iterator(source)
      return try generator("generator", over: source) { () throws(TemplateError) -> Value? in
        try entries.next()
      }
    default: throw fault("items of \(value.kind)")
    }
  }

  private func count(_ value: Value?, _ what: String) throws(TemplateError) -> Int {
    guard let count = value?.index else { throw fault("\(what) of \(value?.kind ?? "nothing")") }
    return count
  }

  private func batch(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    // Without a whole number of elements there is one batch.
    let size = given[0]?.index
    let fill: Value? = if case .none? = given[1] { nil } else { given[1] }
    var source: ValueIterator?
    var following: Value?
    var isDone = false
    return try generator("generator", over: value) {
      [unowned self] () throws(TemplateError) -> Value? in
      guard !isDone else { return nil }
      let elements = try source.or(iterator(value))
      source = elements
      var batch: [Value] = following.map { [$0] } ?? []
      following = nil
      while let next = try elements.next() {
        try spend(1)
        if batch.count == size {
          following = next
          return try list(batch)
        }
        batch.append(next)
        try require(elements: batch.count / 1024)
      }
      isDone = true
      guard !batch.isEmpty else { return nil }
      if let fill, let size, batch.count < size {
        try require(elements: size)
        batch += [Value](repeating: fill, count: size - batch.count)
      }
      return try list(batch)
    }
  }

  private func slices(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let count = try count(given[0], "slices")
    let fill: Value? = if case .none? = given[1] { nil } else { given[1] }
    var all: [Value]?
    var (index, start) = (0, 0)
    return try generator("generator", over: value) {
      [unowned self] () throws(TemplateError) -> Value? in
      let elements = try all.or(self.elements(of: value))
      all = elements
      guard count != 0 else { throw fault("slices of 0") }
      guard index < count else { return nil }
      let (size, extra) = elements.count.quotientAndRemainder(dividingBy: count)
      var part = Array(elements[start..<start + size + (index < extra ? 1 : 0)])
      start += part.count
      if let fill, index >= extra { part.append(fill) }
      index += 1
      return try list(part)
    }
  }

  private func dictsort(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    guard case .mapping(let mapping) = value else { throw fault("dictsort of \(described(value))") }
    let by = try given[1].map(string) ?? "key"
    guard by == "key" || by == "value" else { throw fault("dictsort by \(by)") }
    let isSensitive = given.isOn(0)
    var (pairs, keys) = ([Value](), [[Value]]())
    for (key, value) in mapping.entries {
      pairs.append(try tuple([key.value, value]))
      let sorted = by == "key" ? key.value : value
      keys.append([isSensitive ? sorted : try folded(sorted)])
    }
    return try list(try sorted(pairs, by: keys, isReversed: given.isOn(2)))
  }

  /// A string in lower case; other values as they are.
  private func folded(_ value: Value) throws(TemplateError) -> Value {
    guard case .string(let text) = value else { return value }
    return try self.text(text.string.pythonLowercased, isMarkup: text.isMarkup)
  }

  /// `values`, which keep their order where their keys are equal.
  private func sorted(
    _ values: [Value], by keys: [[Value]], isReversed: Bool, skipsAlike: Bool = false
  ) throws(TemplateError) -> [Value] {
    var order = isReversed ? Array(values.indices.reversed()) : Array(values.indices)
    var width = 1
    while width < order.count {
      var merged: [Int] = []
      merged.reserveCapacity(order.count)
      for start in stride(from: 0, to: order.count, by: 2 * width) {
        var (left, right) = (start, min(start + width, order.count))
        let (middle, end) = (right, min(start + 2 * width, order.count))
        while left < middle || right < end {
          if right == end {
            merged.append(order[left])
            left += 1
          } else if left == middle {
            merged.append(order[right])
            right += 1
          } else if try isLess(keys[order[right]], keys[order[left]], skipsAlike) {
            merged.append(order[right])
            right += 1
          } else {
            merged.append(order[left])
            left += 1
          }
        }
      }
      order = merged
      width *= 2
    }
    return (isReversed ? order.reversed() : order).map { values[$0] }
  }

  /// Whether a key goes before another; the parts of keys that are lists may lack an order if alike.
  private func isLess(
    _ a: [Value], _ b: [Value], _ skipsAlike: Bool
  ) throws(TemplateError) -> Bool {
    for (x, y) in zip(a, b) {
      if skipsAlike, try areAlike(x, y) { continue }
      return try isLess(x, y)
    }
    return false
  }

  private func sort(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let values = try elements(of: value)
    var attributes: [Value?] = [given[2]]
    if let names = given[2]?.text {
      attributes = []
      for name in names.parts(between: ",") { attributes.append(try text(name)) }
    }
    let isSensitive = given.isOn(1)
    var keys: [[Value]] = []
    for value in values {
      var key: [Value] = []
      for attribute in attributes {
        let part = try self.part(attribute, of: value)
        key.append(isSensitive ? part : try folded(part))
      }
      keys.append(key)
    }
    return try list(try sorted(values, by: keys, isReversed: given.isOn(0), skipsAlike: true))
  }

  private func extreme(
    _ filter: TemplateFilter, _ value: Value, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    let values = try iterator(value)
    var best: (value: Value, key: Value)?
    while let next = try values.next() {
      let part = try self.part(given[1], of: next)
      let key = given.isOn(0) ? part : try folded(part)
      if let old = best {
        let isBetter = filter == .min ? try isLess(key, old.key) : try isLess(old.key, key, ">")
        guard isBetter else { continue }
      }
      best = (next, key)
    }
    return best?.value ?? .undefined(Undefined("there is no element"))
  }

  private func unique(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    var seen: Set<MappingKey> = []
    var source: ValueIterator?
    return try generator("generator", over: value) {
      [unowned self] () throws(TemplateError) -> Value? in
      let elements = try source.or(iterator(value))
      source = elements
      while let next = try elements.next() {
        let part = try self.part(given[1], of: next)
        let key = try key(given.isOn(0) ? part : try folded(part))
        if seen.insert(key).inserted { return next }
      }
      return nil
    }
  }

  private func groupby(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let values = try elements(of: value)
    let isSensitive = given.isOn(2)
    var keys: [[Value]] = []
    for value in values {
      let part = try self.part(given[0], of: value, standard: given[1])
      keys.append([isSensitive ? part : try folded(part)])
    }
    let order = try sorted(values.indices.map(Value.integer), by: keys, isReversed: false)
      .compactMap(\.index)
    var groups: [(key: Value, values: [Value])] = []
    for index in order {
      if let last = groups.last, try equal(last.key, keys[index][0]) {
        groups[groups.count - 1].values.append(values[index])
      } else {
        groups.append((keys[index][0], [values[index]]))
      }
    }
    var result: [Value] = []
    for group in groups {
      let key =
        isSensitive
        ? group.key : try part(given[0], of: group.values[0], standard: given[1])
      result.append(try tuple([key, try list(group.values)], names: ["grouper", "list"]))
    }
    return try list(result)
  }

  private func sum(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let values = try iterator(value)
    var total = given[1] ?? .integer(0)
    if case .string = total { throw fault("sum of strings") }
    // Python adds up floats with what each addition loses.
    var lost = 0.0
    while let next = try values.next() {
      let next = try part(given[0], of: next)
      try spend(1)
      if case .real(let sum) = total, case .real(let part) = next {
        let new = sum + part
        lost += sum.magnitude >= part.magnitude ? (sum - new) + part : (part - new) + sum
        total = .real(new)
      } else {
        total = try operate(.add, total, next)
      }
    }
    if case .real(let sum) = total, lost != 0, lost.isFinite { return .real(sum + lost) }
    return total
  }

  /// The part of `value` that an attribute names: a path of members and places.
  func part(
    _ attribute: Value?, of value: Value, standard: Value? = nil
  ) throws(TemplateError) -> Value {
    guard let attribute else { return value }
    if case .none = attribute { return value }
    guard let path = attribute.text else { return try step(attribute, of: value, standard) }
    var value = value
    for name in path.parts(between: ".") {
      let isPlace = !name.isEmpty && name.unicodeScalars.allSatisfy(\.isDecimalDigit)
      let index = isPlace ? Int(name).map(Value.integer) : nil
      value = try step(try index.or(text(name)), of: value, standard)
    }
    return value
  }

  private func step(
    _ index: Value, of value: Value, _ standard: Value?
  ) throws(TemplateError) -> Value {
    let found = try item(index, of: value)
    if let standard, !found.isDefined {
      if case .none = standard { return found }
      return standard
    }
    return found
  }
}

extension Value {
  /// Whether the value has items by their places, or by keys.
  var isIndexed: Bool {
    switch self {
    case .undefined, .string, .list, .tuple, .mapping, .range: true
    default: false
    }
  }
}
