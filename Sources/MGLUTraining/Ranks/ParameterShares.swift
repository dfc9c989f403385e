import MGLUModel

/// The contiguous part of the trained parameters, and of what is laid out like them, that each rank
/// steps: ZeRO's first stage (Rajbhandari et al., 2020).
///
/// Shares begin at blocks of the sum of squares, so that the norm of the gradient is the same number
/// however many ranks there are.
struct ParameterShares: Sendable, Equatable {
  /// The bytes of each rank, in the arena of the parameters.
  let bytes: [Range<Int>]
  /// The blocks of the sum of squares of each rank.
  let blocks: [Range<Int>]

  /// Shares of `byteCount` bytes of float32 elements for `ranks` ranks.
  ///
  /// - Parameters:
  ///   - byteCount: Bytes of the trained parameters.
  ///   - ranks: How many ranks there are.
  ///   - block: Elements of a block of the sum of squares.
  init(of byteCount: Int, ranks: Int, block: Int) {
    let blockBytes = 4 * block
    let count = (byteCount + blockBytes - 1) / blockBytes
    blocks = (0..<ranks).map { count * $0 / ranks..<count * ($0 + 1) / ranks }
    bytes = blocks.map {
      min($0.lowerBound * blockBytes, byteCount)..<min($0.upperBound * blockBytes, byteCount)
    }
  }

  /// The parts of `range` that each rank has.
  func parts(of range: Range<Int>) -> [Range<Int>] { bytes.map { $0.clamped(to: range) } }
}

/// A part of an arena, addressed as the whole would be.
struct ArenaShare: Sendable {
  let arena: Arena
  /// Where the arena begins, in bytes of the whole.
  let start: Int

  /// The float32 elements of a part of the whole that lies in the arena.
  func floats(inBytes range: Range<Int>) -> Tensor {
    arena.floats(inBytes: range.lowerBound - start..<range.upperBound - start)
  }
}
