/// The sizes of captured decode steps: a step is computed for as many rows as the next size has, so that
/// a few captured steps serve all numbers of sequences.
enum StepSizes {
  private static let small = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
  /// Beyond these, multiples of this.
  private static let stride = 64

  /// The least size for `rows` rows.
  static func padded(_ rows: Int) -> Int {
    small.first { $0 >= rows } ?? (rows + stride - 1) / stride * stride
  }

  /// All sizes of steps of up to `rows` rows, ascending.
  static func all(upTo rows: Int) -> [Int] {
    var sizes = [1]
    while let last = sizes.last, last < rows { sizes.append(padded(last + 1)) }
    return sizes
  }
}
