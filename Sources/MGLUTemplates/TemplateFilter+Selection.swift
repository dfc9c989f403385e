extension TemplateEvaluator {
  /// `map('filter')`, and `map(attribute='name')`.
  func map(_ value: Value, _ arguments: TemplateArguments) throws(TemplateError) -> Value {
    var rest = arguments
    let attribute = rest.positional.isEmpty ? rest.take("attribute") : nil
    let standard = attribute == nil ? nil : rest.take("default")
    return try generator(over: value) { [unowned self] element throws(TemplateError) -> Value? in
      if let attribute {
        guard rest.named.isEmpty else { throw fault("map has no argument \(rest.named[0].name)") }
        return try part(attribute, of: element, standard: standard)
      }
      guard let name = rest.positional.first else { throw fault("map lacks a filter") }
      var given = rest
      given.positional.removeFirst()
      return try apply(try string(name), to: element, given)
    }
  }

  /// `select` and its kin: the elements that pass a test, or one of whose members does.
  func select(
    _ filter: TemplateFilter, _ value: Value, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    var rest = arguments.positional[...]
    let hasAttribute = filter == .selectattr || filter == .rejectattr
    let attribute = hasAttribute ? rest.popFirst() : nil
    let name = rest.popFirst()
    let given = TemplateArguments(positional: Array(rest), named: arguments.named)
    let isKept = filter == .select || filter == .selectattr
    return try generator(over: value) { [unowned self] element throws(TemplateError) -> Value? in
      guard !hasAttribute || attribute != nil else {
        throw fault("\(filter.rawValue) lacks an attribute")
      }
      let subject = try part(attribute, of: element)
      let passes =
        if let name { try check(try string(name), subject, given) } else { subject.isTrue }
      return passes == isKept ? element : nil
    }
  }

  /// An iterator of what `body` makes of the elements of `value`, without those it makes nothing of.
  private func generator(
    over value: Value, _ body: @escaping (Value) throws(TemplateError) -> Value?
  ) throws(TemplateError) -> Value {
    var source: ValueIterator?
    return try generator("generator", over: value) {
      [unowned self] () throws(TemplateError) -> Value? in
      // A value that is false, such as none, has no elements here.
      let elements = try source.or(value.isTrue ? iterator(value) : ValueIterator([]))
      source = elements
      while let element = try elements.next() {
        try spend(1)
        if let result = try body(element) { return result }
      }
      return nil
    }
  }
}
