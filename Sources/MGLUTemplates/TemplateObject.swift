import OrderedCollections

/// A value with an identity of its own.
class TemplateObject {
  /// How deep values lie in the object at most.
  let depth: Int

  init(depth: Int = 0) { self.depth = depth }

  /// The name of the object's kind in messages.
  var kind: String { "an object" }
  var isTrue: Bool { true }
  /// Whether Python's `callable` holds.
  var isCallable: Bool { false }
  /// How the object is written.
  var representation: String { "<\(kind)>" }
}

/// Elements that are made one by one, and can be gone through once.
final class ValueIterator: TemplateObject {
  private let name: String
  private let advance: () throws(TemplateError) -> Value?

  init(_ name: String, depth: Int, _ advance: @escaping () throws(TemplateError) -> Value?) {
    (self.name, self.advance) = (name, advance)
    super.init(depth: depth)
  }

  convenience init(_ values: [Value], name: String = "an iterator", depth: Int = 0) {
    var index = 0
    self.init(name, depth: depth) {
      guard index < values.count else { return nil }
      index += 1
      return values[index - 1]
    }
  }

  override var kind: String { "an iterator" }
  override var representation: String { "<\(name) object at 0x0>" }

  func next() throws(TemplateError) -> Value? { try advance() }
}

/// The members of a `namespace(...)`, which a template may set.
final class Namespace: TemplateObject {
  var members: OrderedDictionary<MappingKey, Value>
  /// Whether the namespace is being written: a namespace may be a member of itself.
  var isWritten = false

  init(_ members: OrderedDictionary<MappingKey, Value>) {
    self.members = members
    super.init()
  }

  override var kind: String { "a namespace" }
}

/// A macro, or the body of a `call` block.
final class MacroObject: TemplateObject {
  let macro: TemplateStatement.Macro
  /// The activation in which the macro was defined.
  let activation: Activation

  init(_ macro: TemplateStatement.Macro, in activation: Activation) {
    (self.macro, self.activation) = (macro, activation)
    super.init()
  }

  override var kind: String { "a macro" }
  override var isCallable: Bool { true }
  override var representation: String {
    macro.name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>"
  }
}

/// The variable `loop`.
final class LoopObject: TemplateObject {
  let source: Value
  var elements: ValueIterator
  let recursion: Recursion?
  let depth0: Int
  var index0 = -1
  /// The number of elements, where it is known.
  var knownCount: Int?
  /// The next element, if it was looked at already.
  var following: Value?
  var current: Value?
  var previous: Value?
  var changedValue: [Value]?

  /// What a recursive loop needs to call itself.
  struct Recursion {
    let loop: TemplateStatement.Loop
    let activation: Activation
  }

  init(_ source: Value, _ elements: ValueIterator, recursion: Recursion?, depth0: Int) {
    (self.source, self.elements, self.recursion, self.depth0) = (
      source, elements, recursion, depth0
    )
    super.init(depth: max(source.depth, elements.depth) + 1)
  }

  override var kind: String { "a loop" }
  override var isCallable: Bool { true }

  /// Moves to the next element.
  func next() throws(TemplateError) -> Value? {
    if following == nil { following = try elements.next() }
    guard let element = following else { return nil }
    following = nil
    index0 += 1
    (previous, current) = (current, element)
    return element
  }

  /// The element after the current one, which stays there.
  func peek() throws(TemplateError) -> Value? {
    if following == nil { following = try elements.next() }
    return following
  }
}

/// `cycler(...)`: goes through its items again and again.
final class Cycler: TemplateObject {
  let items: [Value]
  var position = 0

  init(_ items: [Value]) {
    self.items = items
    super.init(depth: 1 + (items.map(\.depth).max() ?? 0))
  }

  override var kind: String { "a cycler" }
}

/// `joiner(...)`: a separator, except the first time.
final class Joiner: TemplateObject {
  let separator: Value
  var isUsed = false

  init(_ separator: Value) {
    self.separator = separator
    super.init(depth: 1 + separator.depth)
  }

  override var kind: String { "a joiner" }
  override var isCallable: Bool { true }
}

/// A function that every template has.
final class FunctionObject: TemplateObject {
  let function: TemplateFunction

  init(_ function: TemplateFunction) {
    self.function = function
    super.init()
  }

  override var kind: String { "a function" }
  override var isCallable: Bool { true }
  override var representation: String { "<function \(function.rawValue)>" }
}

/// A method with the value that it belongs to.
final class MethodObject: TemplateObject {
  let receiver: Value
  let name: String

  init(_ name: String, of receiver: Value) {
    (self.receiver, self.name) = (receiver, name)
    super.init(depth: 1 + receiver.depth)
  }

  override var kind: String { "a method" }
  override var isCallable: Bool { true }
  override var representation: String { "<built-in method \(name) at 0x0>" }
}

/// The keys, values or items of a mapping.
final class MappingView: TemplateObject {
  enum Part: String {
    case keys
    case values
    case items
  }

  let mapping: Mapping
  let part: Part

  init(_ part: Part, of mapping: Mapping) {
    (self.mapping, self.part) = (mapping, part)
    super.init(depth: 1 + mapping.depth)
  }

  override var kind: String { "the \(part.rawValue) of a mapping" }
  override var isTrue: Bool { !mapping.entries.isEmpty }
}

/// `self`, whose members are the template's blocks, or one of these (`name`).
final class BlockObject: TemplateObject {
  let name: String?

  init(_ name: String?) {
    self.name = name
    super.init()
  }

  override var kind: String { "a block" }
  override var isCallable: Bool { name != nil }
}
