import OrderedCollections

/// The variables of one call of a function of the template.
final class Activation {
  var slots: [Value?]
  let parent: Activation?
  var isRetained = false

  init(slots: Int, parent: Activation?) {
    (self.slots, self.parent) = (.init(repeating: nil, count: slots), parent)
  }
}

/// One rendering of a template.
final class TemplateEvaluator {
  let template: Template
  let memory = TemplateMemory()
  /// The string written so far.
  var output = ""
  /// The line of the statement that runs.
  var line = 1
  /// Whether what is written is escaped as HTML.
  var autoescape = false
  var activation: Activation
  /// Whether the statements that run are those of the template itself, not of a body in it.
  var isTopLevel = true
  var context: [String: Value] = [:]
  /// Activations that a macro refers to, and namespaces: they may refer to themselves.
  private var retained: [Activation] = []
  private var namespaces: [Namespace] = []
  private var work = 0
  private var depth = 0

  /// The most work: a unit is a step, or 64 bytes or values looked at.
  private static let mostWork = 4_000_000
  static let mostBytes = 32 << 20
  private static let mostMemory = 128 << 20
  static let mostElements = 1_000_000
  private static let deepest = 700
  private static let deepestValue = 200

  init(_ template: Template) {
    self.template = template
    activation = Activation(slots: template.scopes.slots[0], parent: nil)
  }

  /// The string that the template makes of `variables`.
  func render(_ variables: [String: TemplateValue]) throws(TemplateError) -> String {
    defer {
      activation.slots = []
      context = [:]
      for activation in retained { activation.slots = [] }
      for namespace in namespaces { namespace.members = [:] }
    }
    for function in TemplateFunction.allCases {
      context[function.rawValue] = .object(FunctionObject(function))
    }
    for (name, value) in variables { context[name] = try convert(value, depth: 0) }
    enter(0)
    if let slot = template.scopes.selfSlots[0] {
      activation.slots[slot] = .object(BlockObject(nil))
    }
    _ = try run(template.statements)
    return output
  }

  private func convert(_ value: TemplateValue, depth: Int) throws(TemplateError) -> Value {
    guard depth <= Self.deepestValue else { throw fault("the values are nested too deep", .limit) }
    switch value {
    case .none: return .none
    case .boolean(let value): return .boolean(value)
    case .integer(let value): return .integer(value)
    case .largeInteger(let digits):
      guard digits.utf8.count <= 4300, let value = BigInteger(digits) else {
        throw fault("an integer has more than 4300 digits", .limit)
      }
      return Number.big(value).value
    case .real(let value): return .real(value)
    case .string(let string): return .string(Text(string, isMarkup: false, in: memory))
    case .list(let values):
      var elements: [Value] = []
      elements.reserveCapacity(values.count)
      for value in values { elements.append(try convert(value, depth: depth + 1)) }
      return .list(Elements(elements, in: memory))
    case .mapping(let values):
      var entries: OrderedDictionary<MappingKey, Value> = [:]
      for (key, value) in values {
        entries[MappingKey(key, in: memory)] = try convert(value, depth: depth + 1)
      }
      return .mapping(Mapping(entries, in: memory))
    }
  }

  // MARK: Values

  func text(_ string: String, isMarkup: Bool = false) throws(TemplateError) -> Value {
    try require(bytes: string.utf8.count)
    let text = Text(string, isMarkup: isMarkup, in: memory)
    try checkMemory()
    return .string(text)
  }

  func list(_ elements: [Value]) throws(TemplateError) -> Value { .list(try checked(elements)) }

  func tuple(_ elements: [Value], names: [String] = []) throws(TemplateError) -> Value {
    .tuple(try checked(elements, names: names))
  }

  private func checked(
    _ elements: [Value], names: [String] = []
  ) throws(TemplateError) -> Elements {
    try require(elements: elements.count)
    let result = Elements(elements, names: names, in: memory)
    try check(depth: result.depth)
    try checkMemory()
    return result
  }

  func mapping(
    _ entries: OrderedDictionary<MappingKey, Value>
  ) throws(TemplateError) -> Value {
    try require(elements: entries.count)
    let mapping = Mapping(entries, in: memory)
    try check(depth: mapping.depth)
    try checkMemory()
    return .mapping(mapping)
  }

  func object(_ object: TemplateObject) throws(TemplateError) -> Value {
    try check(depth: object.depth)
    return .object(object)
  }

  func namespace(_ members: OrderedDictionary<MappingKey, Value>) throws(TemplateError) -> Value {
    let namespace = Namespace(members)
    namespaces.append(namespace)
    memory.used += 256
    try checkMemory()
    return .object(namespace)
  }

  /// Keeps an activation that a value refers to until the rendering ends.
  func retain(_ activation: Activation) throws(TemplateError) {
    guard !activation.isRetained else { return }
    activation.isRetained = true
    retained.append(activation)
    memory.used += 128 + 16 * activation.slots.count
    try checkMemory()
  }

  // MARK: Limits

  private func check(depth: Int) throws(TemplateError) {
    guard depth <= Self.deepestValue else {
      throw fault("values lie more than \(Self.deepestValue) deep in each other", .limit)
    }
  }

  private func checkMemory() throws(TemplateError) {
    guard memory.used <= Self.mostMemory else {
      throw fault("the values take more than \(Self.mostMemory >> 20) MiB", .limit)
    }
  }

  /// Throws if a string of `bytes` bytes is too long.
  func require(bytes: Int) throws(TemplateError) {
    try spend(bytes / 64)
    guard bytes <= Self.mostBytes else {
      throw fault("a string is longer than \(Self.mostBytes) bytes", .limit)
    }
  }

  /// Throws if a list of `elements` is too long.
  func require(elements: Int) throws(TemplateError) {
    try spend(elements / 8)
    guard elements <= Self.mostElements else {
      throw fault("a list has more than \(Self.mostElements) elements", .limit)
    }
  }

  /// Counts work, and ends a rendering that takes too much of it.
  func spend(_ units: Int) throws(TemplateError) {
    work += units
    guard work <= Self.mostWork else {
      throw fault("rendering takes more than \(Self.mostWork) steps", .limit)
    }
  }

  /// Does what nests: expressions, bodies and calls.
  func nested<Result>(
    _ body: () throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else {
      throw fault("expressions and calls are nested too deep", .limit)
    }
    return try body()
  }

  /// An error in the statement that runs.
  func fault(_ message: String, _ code: TemplateProblem = .evaluation) -> TemplateError {
    TemplateError(code, message, line: line)
  }

  // MARK: Output

  func write(_ string: String) throws(TemplateError) {
    try require(bytes: output.utf8.count + string.utf8.count)
    memory.used += string.utf8.count
    try checkMemory()
    output += string
  }

  /// Writes a value, escaped where that is on.
  func write(_ value: Value) throws(TemplateError) {
    guard autoescape else { return try write(try string(value)) }
    if case .string(let text) = try escaped(value) { try write(text.string) }
  }

  /// The output of `body`; nothing where it leaves a loop.
  func captured(
    _ body: () throws(TemplateError) -> Flow
  ) throws(TemplateError) -> (string: String, flow: Flow) {
    let outer = output
    output = ""
    defer {
      memory.used -= output.utf8.count
      output = outer
    }
    let flow = try body()
    return (output, flow)
  }
}
