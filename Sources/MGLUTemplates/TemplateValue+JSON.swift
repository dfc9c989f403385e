extension TemplateValue {
  /// Reads JSON as Python's `json` does. Mappings keep the order of their keys, which templates write out
  /// with `tojson`; of equal keys the last value counts, at the place of the first; `NaN` and `Infinity`
  /// are numbers.
  ///
  /// - Parameter json: The document as UTF-8.
  public init(json: some Collection<UInt8>) throws(TemplateError) {
    do { self = try Self(parsing: json) } catch {
      throw TemplateError(error.code == .depth ? .limit : .syntax, "JSON: \(error.message)")
    }
  }

  /// The same with an error that says what is wrong.
  ///
  /// - Parameter json: The document as UTF-8; a mark of byte order before it is skipped.
  package init(parsing json: some Sequence<UInt8>) throws(JSONError) {
    var reader = try JSONReader(Array(json))
    self = try reader.readDocument()
  }
}
