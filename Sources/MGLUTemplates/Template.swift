/// A template: all of Jinja2 that needs no other template.
package struct Template: Sendable {
  let statements: [TemplateStatement]
  let scopes: TemplateScopes
  let blocks: [String: TemplateStatement.Block]

  /// Reads `source`; throws where it is no template.
  package init(_ source: String) throws(TemplateError) {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(source))
    statements = try parser.statements()
    try UnknownNames.check(statements)
    blocks = parser.blocks
    scopes = try TemplateScopes(statements, uses: parser.uses, scopes: parser.scopes)
  }

  /// The string that the template makes of `variables`.
  package func render(_ variables: [String: TemplateValue]) throws(TemplateError) -> String {
    try TemplateEvaluator(self).render(variables)
  }
}
