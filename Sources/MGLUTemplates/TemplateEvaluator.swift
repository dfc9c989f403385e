import OrderedCollections

/// One rendering of a template.
struct TemplateEvaluator {
  /// The string written so far.
  private(set) var output = ""
  /// The line of the statement that runs.
  private(set) var line = 1
  /// Members of each `namespace(...)`.
  var namespaces: [OrderedDictionary<String, TemplateValue>] = []
  /// Names and their values: those of the whole template first, the innermost last.
  private var scopes: [[String: TemplateValue]]
  private var macros: [TemplateStatement.Macro] = []
  private var callDepth = 0
  private var work = 0

  /// The most work: a unit is a step, or 64 bytes or values looked at.
  private static let mostWork = 4_000_000
  private static let mostBytes = TemplateValue.mostBytes
  private static let deepestCall = 16

  /// The statement that runs next.
  enum Flow {
    case next
    case leaveLoop
    case nextIteration
  }

  init(_ variables: [String: TemplateValue]) {
    scopes = [TemplateFunction.all.merging(variables) { $1 }]
  }

  /// Runs `statements`, and returns how they end.
  mutating func run(_ statements: [TemplateStatement]) throws(TemplateError) -> Flow {
    for statement in statements {
      line = statement.line
      try spend(1)
      switch statement.kind {
      case .data(let data): try write(data)
      case .output(let expression): try write(try evaluate(expression).string)
      case .choice(let branches, let otherwise):
        let flow = try run(try chosen(branches) ?? otherwise)
        if flow != .next { return flow }
      case .loop(let loop): try run(loop)
      case .assignment(let names, let expression): try assign(try evaluate(expression), to: names)
      case .memberAssignment(let name, let member, let expression):
        let value = try evaluate(expression)
        guard case .namespace(let index) = lookUp(name) else {
          throw fault("\(name).\(member) is set, but \(name) is not a namespace")
        }
        namespaces[index][member] = value
      case .capture(let name, let body):
        let string = try captured { evaluator throws(TemplateError) in
          _ = try evaluator.run(body)
        }
        try assign(.string(string), to: [name])
      case .macro(let macro):
        macros.append(macro)
        try assign(.macro(macros.count - 1), to: [macro.name])
      case .group(let body):
        let flow = try run(body)
        if flow != .next { return flow }
      case .leaveLoop: return .leaveLoop
      case .nextIteration: return .nextIteration
      }
    }
    return .next
  }

  private mutating func chosen(
    _ branches: [TemplateStatement.Branch]
  ) throws(TemplateError) -> [TemplateStatement]? {
    for branch in branches where try evaluate(branch.condition).isTrue { return branch.body }
    return nil
  }

  private mutating func run(_ loop: TemplateStatement.Loop) throws(TemplateError) {
    let value = try evaluate(loop.elements)
    guard var elements = value.elements else {
      throw fault("a loop goes through \(value.kind)")
    }
    try spend(elements.count)
    if let condition = loop.condition {
      var kept: [TemplateValue] = []
      for element in elements {
        let isKept = try inScope { evaluator throws(TemplateError) in
          try evaluator.assign(element, to: loop.names)
          return try evaluator.evaluate(condition).isTrue
        }
        if isKept { kept.append(element) }
      }
      elements = kept
    }
    if elements.isEmpty {
      _ = try inScope { evaluator throws(TemplateError) in try evaluator.run(loop.otherwise) }
    }
    for index in elements.indices {
      try spend(8)
      let flow = try inScope { evaluator throws(TemplateError) in
        try evaluator.assign(Self.state(index, elements), to: ["loop"])
        try evaluator.assign(elements[index], to: loop.names)
        return try evaluator.run(loop.body)
      }
      if flow == .leaveLoop { return }
    }
  }

  /// The value of `loop` in an iteration.
  private static func state(_ index: Int, _ elements: [TemplateValue]) -> TemplateValue {
    let (count, none) = (elements.count, TemplateValue.undefined("an element beyond the ends"))
    return .mapping([
      "index": .integer(index + 1), "index0": .integer(index),
      "revindex": .integer(count - index), "revindex0": .integer(count - index - 1),
      "first": .boolean(index == 0), "last": .boolean(index == count - 1),
      "length": .integer(count), "previtem": index > 0 ? elements[index - 1] : none,
      "nextitem": index + 1 < count ? elements[index + 1] : none,
    ])
  }

  /// Gives `value`, or its parts, to `names` in the innermost scope.
  private mutating func assign(
    _ value: TemplateValue, to names: [String]
  ) throws(TemplateError) {
    guard names.count > 1 else {
      scopes[scopes.count - 1][names[0]] = value
      return
    }
    guard let parts = value.elements, parts.count == names.count else {
      throw fault("\(value.kind) does not have \(names.count) parts")
    }
    for (name, part) in zip(names, parts) { scopes[scopes.count - 1][name] = part }
  }

  /// The value of `name`, or undefined.
  func lookUp(_ name: String) -> TemplateValue {
    for scope in scopes.reversed() { if let value = scope[name] { return value } }
    return .undefined(name)
  }

  /// The output of the macro `index`. It sees the names of the whole template and its parameters.
  mutating func call(
    macro index: Int, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let macro = macros[index]
    let given = try arguments.bound(
      to: macro.parameters.map(\.name), of: macro.name, in: self)
    callDepth += 1
    let (outer, outerLine) = (scopes, line)
    defer { (scopes, line, callDepth) = (outer, outerLine, callDepth - 1) }
    guard callDepth <= Self.deepestCall else {
      throw fault("macros call each other too deep", .limit)
    }
    scopes = [outer[0], [:]]
    for (parameter, value) in zip(macro.parameters, given) {
      var value = value
      if value == nil, let standard = parameter.standard { value = try evaluate(standard) }
      try assign(value ?? .undefined(parameter.name), to: [parameter.name])
    }
    return .string(
      try captured { evaluator throws(TemplateError) in _ = try evaluator.run(macro.body) })
  }

  private mutating func inScope<Result>(
    _ body: (inout Self) throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    scopes.append([:])
    defer { scopes.removeLast() }
    return try body(&self)
  }

  /// The output of `body`.
  private mutating func captured(
    _ body: (inout Self) throws(TemplateError) -> Void
  ) throws(TemplateError) -> String {
    let outer = output
    output = ""
    defer { output = outer }
    try body(&self)
    return output
  }

  private mutating func write(_ string: String) throws(TemplateError) {
    try spend(string.utf8.count / 64)
    try require(bytes: output.utf8.count + string.utf8.count)
    output += string
  }

  /// Throws if a string of `bytes` bytes is too long.
  func require(bytes: Int) throws(TemplateError) {
    guard bytes <= Self.mostBytes else {
      throw fault("a string is longer than \(Self.mostBytes) bytes", .limit)
    }
  }

  /// Counts work, and ends a rendering that takes too much of it.
  mutating func spend(_ units: Int) throws(TemplateError) {
    work += units
    guard work <= Self.mostWork else {
      throw fault("rendering takes more than \(Self.mostWork) steps", .limit)
    }
  }

  /// An error in the statement that runs.
  func fault(_ message: String, _ code: TemplateProblem = .evaluation) -> TemplateError {
    TemplateError(code, message, line: line)
  }
}
