/// The sizes of a grouped-query attention, what it sees, and what of its heads is rotated.
public struct AttentionShape: Sendable, Equatable {
  /// Query heads.
  public var heads: Int
  /// Key and value heads, a divisor of ``heads``.
  public var kvHeads: Int
  /// Elements of a head, even.
  public var headSize: Int
  /// How many positions a query sees at most, its own among them; `nil` where it sees all before it.
  public var window: Int?
  /// The first elements of a head, even, that are rotated by positions, halves against halves; the
  /// others stay. 0 where positions change nothing (NoPE).
  public var rotarySize: Int {
    get { partialRotarySize ?? headSize }
    set { partialRotarySize = newValue == headSize ? nil : newValue }
  }
  private var partialRotarySize: Int?

  /// Creates the sizes; whole heads are rotated unless a size is given.
  public init(
    heads: Int, kvHeads: Int, headSize: Int, window: Int? = nil, rotarySize: Int? = nil
  ) {
    self.heads = heads
    self.kvHeads = kvHeads
    self.headSize = headSize
    self.window = window
    if let rotarySize { self.rotarySize = rotarySize }
  }

  /// The first position that the query at `position` sees.
  func firstVisible(from position: Int) -> Int {
    window.map { max(0, position + 1 - $0) } ?? 0
  }

  /// Elements of all queries of a token.
  public var queryWidth: Int { heads * headSize }
  /// Elements of all keys, or all values, of a token.
  public var kvWidth: Int { kvHeads * headSize }
  /// Elements of a token's row of queries, keys and values.
  public var rowWidth: Int { queryWidth + 2 * kvWidth }
  /// 1 / sqrt(headSize), the softmax temperature.
  var scale: Float { 1 / Float(headSize).squareRoot() }
}

/// Cosines and sines of rotary positions, `[positions, rotarySize / 2]` each.
public struct RotaryTable: Sendable {
  /// cos(position * frequency).
  public let cosine: Tensor
  /// sin(position * frequency).
  public let sine: Tensor

  /// Lays the table out; the caller fills it.
  public init(positions: Int, rotarySize: Int, in layout: inout ArenaLayout) {
    cosine = layout.tensor([positions, rotarySize / 2])
    sine = layout.tensor([positions, rotarySize / 2])
  }

  private init(cosine: Tensor, sine: Tensor) { (self.cosine, self.sine) = (cosine, sine) }

  /// The same table where `backend` computes.
  public func toDevice(on backend: any Backend) -> RotaryTable {
    RotaryTable(cosine: backend.toDevice(cosine), sine: backend.toDevice(sine))
  }
}

/// Equal parts of each row of a matrix, side by side, such as the heads of queries.
public struct RowParts: Sendable, Equatable {
  /// The column at which the first part begins.
  public var first: Int
  /// How many parts there are.
  public var count: Int

  /// Parts of some width from column `first` on.
  public init(first: Int, count: Int) { (self.first, self.count) = (first, count) }

  /// - Precondition: rows of `x` have room for the parts, which are as wide as `weight`, or consist of
  ///   a single whole one.
  func check(_ x: Tensor, _ weight: Tensor, isWhole: Bool) {
    let end = first + count * weight.count
    precondition(
      first >= 0 && count > 0 && (isWhole ? end == x.columns : end <= x.columns),
      "\(count) norms of \(weight.count) elements from \(first) on in rows of \(x.columns)")
  }
}

extension AttentionShape {
  /// The query heads in a row of queries, keys and values.
  public var queryHeads: RowParts { RowParts(first: 0, count: heads) }
  /// The key heads in such a row.
  public var keyHeads: RowParts { RowParts(first: queryWidth, count: kvHeads) }
}
