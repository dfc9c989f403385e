/// A parsed pattern.
indirect enum PatternNode: Sendable {
  case empty
  case scalar(ScalarSetExpression)
  case sequence([PatternNode])
  case alternatives([PatternNode])
  case repeated(PatternNode, min: Int, max: Int, Repetition)
  /// What was matched first is kept.
  case atomic(PatternNode)
  case look(PatternNode, behind: Bool, negative: Bool)
  case anchor(Anchor)

  enum Repetition: Sendable { case greedy, lazy, possessive }

  enum Anchor: Sendable {
    case textStart, textEnd, textEndOrLastLineBreak, lineStart, lineEnd, wordBorder, noWordBorder
  }

  /// Whether it can match no scalar at all.
  var isNullable: Bool {
    switch self {
    case .empty, .look, .anchor: true
    case .scalar: false
    case .sequence(let parts): parts.allSatisfy(\.isNullable)
    case .alternatives(let parts): parts.contains(where: \.isNullable)
    case .repeated(let part, let min, _, _): min == 0 || part.isNullable
    case .atomic(let part): part.isNullable
    }
  }

  /// The scalars that it can begin with, or `nil` where it can match none.
  var first: ScalarSetExpression? {
    if isNullable { return nil }
    switch self {
    case .scalar(let set): return set
    case .sequence(let parts):
      var sets: [ScalarSetExpression] = []
      for part in parts {
        sets += part.possibleFirst.map { [$0] } ?? []
        if !part.isNullable { break }
      }
      return .union(sets)
    case .alternatives(let parts): return .union(parts.compactMap(\.first))
    case .repeated(let part, _, _, _), .atomic(let part): return part.first
    case .empty, .look, .anchor: return nil
    }
  }

  /// The scalars that it begins with where it matches any.
  private var possibleFirst: ScalarSetExpression? {
    switch self {
    case .empty, .look, .anchor: nil
    case .scalar(let set): set
    case .sequence(let parts):
      parts.isEmpty ? nil : .union(parts.compactMap(\.possibleFirst))
    case .alternatives(let parts): .union(parts.compactMap(\.possibleFirst))
    case .repeated(let part, _, _, _), .atomic(let part): part.possibleFirst
    }
  }

  /// How many scalars it matches, where that is always the same and at most 1,000.
  var width: Int? {
    let width: Int?
    switch self {
    case .empty, .look, .anchor: width = 0
    case .scalar: width = 1
    case .sequence(let parts):
      var sum = 0
      for part in parts {
        guard let width = part.width, sum <= 1000 else { return nil }
        sum += width
      }
      width = sum
    case .alternatives(let parts):
      let widths = Set(parts.map(\.width))
      width = widths.count == 1 ? widths.first ?? nil : nil
    case .repeated(let part, let min, let max, _):
      width = min == max ? part.width.map { $0 * min } : nil
    case .atomic(let part): width = part.width
    }
    return width.flatMap { $0 <= 1000 ? $0 : nil }
  }
}
