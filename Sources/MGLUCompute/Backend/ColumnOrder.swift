/// How the columns of rows that decode lie where an operation of a step writes them for a product.
public enum ColumnOrder: Sendable, Equatable {
  /// One after the other.
  case plain
  /// As tensor cores take them: of each 32 columns, four lanes' eight, first the first two of every lane,
  /// then the next two. Column 8 q + 2 c + j lies at place 8 c + 2 q + j.
  case interleaved
}
