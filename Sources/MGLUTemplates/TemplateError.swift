import MGLUCompute

/// What is wrong with a template, or with what it was given.
public enum TemplateProblem: Sendable {
  /// The text is no template.
  case syntax
  /// The text may be a template, but uses something that is not understood here.
  case unsupported
  /// A value does not have what is asked of it.
  case evaluation
  /// The template itself refuses what it was given.
  case refused
  /// Rendering would take more work than is allowed.
  case limit
}

/// An error of reading or rendering a template; its message names the line.
public typealias TemplateError = Failure<TemplateProblem>

extension Failure where Code == TemplateProblem {
  init(_ code: TemplateProblem, _ message: String, line: Int) {
    self.init(code, "chat template, line \(line): \(message)")
  }

  /// Something that a template may ask for, and that is not understood.
  static func unknown(_ construct: String, line: Int) -> Self {
    Self(.unsupported, "\(construct) is not understood", line: line)
  }
}
