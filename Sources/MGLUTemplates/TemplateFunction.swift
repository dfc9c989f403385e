#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Functions that every template has.
public enum TemplateFunction: String, Sendable, CaseIterable {
  case range
  case namespace
  case dict
  /// Refuses the messages, with an error of the template.
  case refuse = "raise_exception"
  /// The time, as a format has it.
  case now = "strftime_now"

  static let all = Dictionary(
    uniqueKeysWithValues: allCases.map { ($0.rawValue, TemplateValue.function($0)) })
}

extension TemplateEvaluator {
  /// The most elements of a range, as in Jinja's sandbox.
  private static let longestRange = 100_000

  /// The result of `function`.
  mutating func call(
    _ function: TemplateFunction, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    switch function {
    case .range: return try range(arguments)
    case .namespace, .dict:
      var members = arguments.named
      if let first = arguments.positional.first {
        guard case .mapping(let values) = first, arguments.positional.count == 1 else {
          throw fault("\(function.rawValue) of \(first.kind): expected a mapping, or names")
        }
        members = values.merging(arguments.named) { $1 }
      }
      if function == .dict { return .mapping(members) }
      namespaces.append(members)
      return .namespace(namespaces.count - 1)
    case .refuse:
      let given = try arguments.bound(to: ["message"], of: function.rawValue, in: self)
      throw TemplateError(.refused, (given[0] ?? .string("the messages are refused")).string)
    case .now:
      guard case .string(let format)? = arguments.positional.first else {
        throw fault("strftime_now: expected a format")
      }
      return .string(Self.now(format))
    }
  }

  private func range(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
    let numbers = arguments.positional.compactMap(\.integer)
    guard numbers.count == arguments.positional.count, arguments.named.isEmpty,
      (1...3).contains(numbers.count)
    else { throw fault("range: expected 1 to 3 integers") }
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw fault("a range in steps of 0") }
    let (from, to) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    let elements = Array(stride(from: from, to: to, by: step).prefix(Self.longestRange + 1))
    guard elements.count <= Self.longestRange else {
      throw fault("a range of more than \(Self.longestRange) numbers", .limit)
    }
    return .list(elements.map(TemplateValue.integer))
  }

  private static func now(_ format: String) -> String {
    var seconds = time(nil)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
      let count = strftime(buffer.baseAddress!, buffer.count, format, &parts)
      return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
  }
}
