/// A statement of a template, and the line on which it begins.
struct TemplateStatement: Sendable {
  let kind: Kind
  let line: Int

  indirect enum Kind: Sendable {
    /// The source between tags.
    case data(String)
    case output(TemplateExpression)
    case choice([Branch], otherwise: [TemplateStatement])
    case loop(Loop)
    /// `set a = …`, or `set a, b = …`.
    case assignment([String], TemplateExpression)
    /// `set namespace.member = …`.
    case memberAssignment(String, String, TemplateExpression)
    /// `set a` … `endset`: the output of the statements between is the value.
    case capture(String, [TemplateStatement])
    case macro(Macro)
    /// A `generation` block, which only marks its statements.
    case group([TemplateStatement])
    case leaveLoop
    case nextIteration
  }

  struct Branch: Sendable {
    let condition: TemplateExpression
    let body: [TemplateStatement]
  }

  struct Loop: Sendable {
    /// The names of an element, or of its parts.
    let names: [String]
    let elements: TemplateExpression
    /// The condition of the elements that the loop visits.
    let condition: TemplateExpression?
    let body: [TemplateStatement]
    /// The statements that run where there is no element.
    let otherwise: [TemplateStatement]
  }

  struct Macro: Sendable {
    let name: String
    let parameters: [(name: String, standard: TemplateExpression?)]
    let body: [TemplateStatement]
  }
}

/// An expression of a template.
indirect enum TemplateExpression: Sendable {
  case literal(TemplateValue)
  case name(String)
  case list([TemplateExpression])
  case mapping([(key: TemplateExpression, value: TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, [TemplateExpression?])
  case call(TemplateExpression, Arguments)
  case filter(TemplateExpression, TemplateFilter, Arguments)
  case test(TemplateExpression, TemplateTest, TemplateExpression?)
  case not(TemplateExpression)
  case negative(TemplateExpression)
  case operation(TemplateOperator, TemplateExpression, TemplateExpression)
  /// Comparisons that share their inner sides, as in `a < b < c`.
  case comparison(TemplateExpression, [(TemplateComparison, TemplateExpression)])
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  /// `a if condition else b`.
  case choice(TemplateExpression, if: TemplateExpression, otherwise: TemplateExpression?)

  struct Arguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
  }
}

/// Operators that make a value of two.
enum TemplateOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case divideDown = "//"
  case remainder = "%"
  case join = "~"
}

/// Operators that compare two values.
enum TemplateComparison: String, Sendable {
  case equal = "=="
  case unequal = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case `in`
  case notIn = "not in"
}
