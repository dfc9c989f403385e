/// A template in the part of Jinja that chat templates are written in.
package struct Template: Sendable {
  private let statements: [TemplateStatement]

  /// Reads `source`; throws for a construct that this library lacks.
  package init(_ source: String) throws(TemplateError) {
    statements = try TemplateParser.statements(source)
  }

  /// The string that the template makes of `variables`.
  package func render(_ variables: [String: TemplateValue]) throws(TemplateError) -> String {
    var evaluator = TemplateEvaluator(variables)
    _ = try evaluator.run(statements)
    return evaluator.output
  }
}
