/// An error that a user can act on: what was found, what was expected, what to do.
///
/// Each domain has its own `Code`, so that `catch let error as CheckpointError` and typed throws
/// can tell the kinds apart, while every message reads alike.
public struct Failure<Code: Sendable & Equatable>: Error, Sendable, CustomStringConvertible {
  /// The kind of the problem, for code that reacts to it.
  public let code: Code
  /// What was found and what was expected, in one line.
  public let message: String
  /// What to do about it, when that is not obvious from the message.
  public let remedy: String?

  /// Creates an error of kind `code`.
  public init(_ code: Code, _ message: String, remedy: String? = nil) {
    self.code = code
    self.message = message
    self.remedy = remedy
  }

  /// The message and, after a semicolon, the remedy.
  public var description: String { remedy.map { "\(message); \($0)" } ?? message }
}
