/// How the columns of a row lie where an operation of a step writes them for a product.
public enum ColumnOrder: Sendable, Equatable {
  /// One after the other.
  case plain
  /// As tensor cores take them: of each 32 columns, four lanes' eight, first the first two of every lane,
  /// then the next two. Column 8 q + 2 c + j lies at place 8 c + 2 q + j.
  case interleaved
}

/// The orders of the rows of a step, which lie in one tensor.
public struct ColumnOrders: Sendable, Equatable {
  /// That of rows that decode.
  public var decoding: ColumnOrder
  /// That of rows of prompts, which follow them.
  public var prompts: ColumnOrder

  /// All rows as they are.
  public static let plain = ColumnOrders(decoding: .plain, prompts: .plain)

  /// Orders of rows that decode, and of rows of prompts.
  public init(decoding: ColumnOrder, prompts: ColumnOrder) {
    (self.decoding, self.prompts) = (decoding, prompts)
  }
}
