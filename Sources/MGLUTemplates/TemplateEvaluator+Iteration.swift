extension TemplateEvaluator {
  /// The elements of `value`, one by one.
  func iterator(_ value: Value) throws(TemplateError) -> ValueIterator {
    let depth = value.depth + 1
    switch value {
    case .undefined: return ValueIterator([])
    case .string(let text):
      var scalars = text.string.unicodeScalars.makeIterator()
      return ValueIterator("str_iterator", depth: depth) {
        [unowned self] () throws(TemplateError) -> Value? in
        try scalars.next().map { scalar throws(TemplateError) in
          try self.text(String(scalar), isMarkup: text.isMarkup)
        }
      }
    case .list(let values), .tuple(let values):
      return ValueIterator(values.elements, name: "list_iterator", depth: depth)
    case .range(let range):
      var index = 0
      return ValueIterator("range_iterator", depth: depth) { () throws(TemplateError) -> Value? in
        guard index < range.count else { return nil }
        index += 1
        return range[index - 1]
      }
    case .mapping(let mapping):
      return try iterator(.object(MappingView(.keys, of: mapping)))
    case .object(let view as MappingView):
      let entries = view.mapping.entries
      var index = 0
      return ValueIterator("dict_\(view.part.rawValue)iterator", depth: depth) {
        [unowned self] () throws(TemplateError) -> Value? in
        guard index < entries.count else { return nil }
        let (key, value) = entries.elements[index]
        index += 1
        switch view.part {
        case .keys: return key.value
        case .values: return value
        case .items: return try tuple([key.value, value])
        }
      }
    case .object(let iterator as ValueIterator): return iterator
    case .object(let loop as LoopObject):
      return ValueIterator("LoopContext", depth: depth) {
        [unowned self] () throws(TemplateError) -> Value? in
        guard let element = try loop.next() else { return nil }
        return try tuple([element, .object(loop)])
      }
    default: throw fault("\(value.kind) has no elements")
    }
  }

  /// A new iterator, which goes no deeper than is safe.
  func generator(
    _ name: String, over source: Value,
    _ advance: @escaping () throws(TemplateError) -> Value?
  ) throws(TemplateError) -> Value {
    try object(ValueIterator(name, depth: source.depth + 2, advance))
  }

  /// All elements of `value`.
  func elements(of value: Value) throws(TemplateError) -> [Value] {
    switch value {
    case .list(let values), .tuple(let values):
      try require(elements: values.elements.count)
      return values.elements
    default:
      let elements = try iterator(value)
      var result: [Value] = []
      while let next = try elements.next() {
        try spend(1)
        result.append(next)
        guard result.count <= Self.mostElements else {
          throw fault("a list has more than \(Self.mostElements) elements", .limit)
        }
      }
      return result
    }
  }

  /// Python's `len`; `nil` for a value without one.
  func length(of value: Value) throws(TemplateError) -> Int? {
    switch value {
    case .undefined: return 0
    case .string(let text):
      try spend(text.string.utf8.count / 64)
      return text.string.unicodeScalars.count
    case .list(let values), .tuple(let values): return values.elements.count
    case .mapping(let mapping): return mapping.entries.count
    case .range(let range): return range.count
    case .object(let view as MappingView): return view.mapping.entries.count
    case .object(let loop as LoopObject): return try count(of: loop)
    default: return nil
    }
  }
}
