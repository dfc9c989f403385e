/// A statement of a template, and the line on which it begins.
struct TemplateStatement: Sendable {
  let kind: Kind
  let line: Int

  indirect enum Kind: Sendable {
    /// The source between tags.
    case data(String)
    case output([TemplateExpression])
    case choice([Branch], otherwise: [TemplateStatement])
    case loop(Loop)
    case assignment(TemplateTarget, TemplateExpression)
    /// `set a` … `endset`: the output of the statements between, filtered, is the value.
    case capture(TemplateTarget, FilteredBody)
    case with([(target: TemplateTarget, value: TemplateExpression)], Body)
    case macro(Macro, VariableUse)
    /// `call macro()` … `endcall`; without a call, a `generation` block, which writes its body.
    case call(Macro, TemplateExpression?)
    case filter(FilteredBody)
    case autoescape(TemplateExpression, Body)
    case block(Block)
    /// A statement that needs other templates.
    case unavailable(String, [TemplateTarget])
    case leaveLoop
    case nextIteration
  }

  struct Branch: Sendable {
    let condition: TemplateExpression
    let body: [TemplateStatement]
  }

  /// Statements with variables of their own: the place of these in `TemplateScopes`.
  struct Body: Sendable {
    let statements: [TemplateStatement]
    let scope: Int
  }

  struct FilteredBody: Sendable {
    let body: Body
    let filters: [TemplateExpression.FilterCall]
  }

  struct Loop: Sendable {
    /// The variables of an element, or of its parts.
    let target: TemplateTarget
    let elements: TemplateExpression
    /// The condition of the elements that the loop visits, with its scope, a function of its own.
    let condition: TemplateExpression?
    let conditionTarget: TemplateTarget
    let conditionScope: Int
    let body: Body
    /// The variable `loop`.
    let state: VariableUse
    /// The statements that run where no iteration came to its end.
    let otherwise: Body?
    let isRecursive: Bool
  }

  struct Macro: Sendable {
    /// The name; a `call` block has none.
    let name: String?
    let parameters: [(name: String, variable: VariableUse, standard: TemplateExpression?)]
    let body: Body
    /// The variables `caller`, `kwargs` and `varargs`, where the scope uses them.
    let special: (caller: VariableUse, named: VariableUse, extra: VariableUse)
  }

  struct Block: Sendable {
    let name: String
    let body: Body
    let isScoped: Bool
    let isRequired: Bool
  }
}

/// The use of a variable: its name, and its place in `TemplateScopes.places`.
struct VariableUse: Sendable {
  let name: String
  let id: Int
}

/// What a statement gives a value to.
indirect enum TemplateTarget: Sendable {
  case variable(VariableUse)
  /// A member of a namespace.
  case member(VariableUse, String)
  case parts([TemplateTarget])
}

/// An expression of a template.
indirect enum TemplateExpression: Sendable {
  case literal(Literal)
  case variable(VariableUse)
  case list([TemplateExpression])
  case tuple([TemplateExpression])
  case mapping([(key: TemplateExpression, value: TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, [TemplateExpression?])
  case call(TemplateExpression, Arguments)
  case filter(TemplateExpression, FilterCall)
  case test(TemplateExpression, String, Arguments)
  case not(TemplateExpression)
  case negative(TemplateExpression)
  case positive(TemplateExpression)
  case operation(TemplateOperator, TemplateExpression, TemplateExpression)
  /// `a ~ b ~ c`.
  case concatenation([TemplateExpression])
  /// Comparisons that share their inner sides, as in `a < b < c`.
  case comparison(TemplateExpression, [(TemplateComparison, TemplateExpression)])
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  /// `a if condition else b`.
  case choice(TemplateExpression, if: TemplateExpression, otherwise: TemplateExpression?)

  enum Literal: Sendable {
    case none
    case boolean(Bool)
    case integer(BigInteger)
    case real(Double)
    case string(String)
  }

  struct FilterCall: Sendable {
    let name: String
    let arguments: Arguments
  }

  struct Arguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
    /// `*list` and `**mapping`.
    var list: TemplateExpression?
    var mapping: TemplateExpression?
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
  case power = "**"
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
