import MGLUCompute

/// Problems of a template or of its variables.
public enum TemplateProblem: Sendable {
  /// The source is not a template.
  case syntax
  /// The source may be a template, but uses a construct that this library lacks.
  case unsupported
  /// A value lacks a member or an operation that the template uses.
  case evaluation
  /// The template itself refuses its variables.
  case refused
  /// Rendering would take more work than the limit.
  case limit
}

/// An error of reading or rendering a template; its message names the line.
public typealias TemplateError = Failure<TemplateProblem>

extension Optional {
  /// The value, or `other`, as `??` with the errors of templates.
  func or(
    _ other: @autoclosure () throws(TemplateError) -> Wrapped
  ) throws(TemplateError) -> Wrapped {
    if let self { return self }
    return try other()
  }
}

extension Failure where Code == TemplateProblem {
  init(_ code: TemplateProblem, _ message: String, line: Int) {
    self.init(code, "chat template, line \(line): \(message)")
  }

  /// A construct of templates that this library lacks.
  static func unknown(_ construct: String, line: Int) -> Self {
    Self(.unsupported, "\(construct) is not understood", line: line)
  }
}
