import MGLUModel

/// The part of the trained parameters, and of what is laid out like them, that each rank steps: ZeRO's
/// first stage (Rajbhandari et al., 2020).
///
/// A backward pass completes gradients from the last layer to the first. What is complete together is a
/// stage, and each rank has a share of every stage, so that ranks exchange a stage while the pass goes
/// on. Shares consist of blocks of the sum of squares, so that the norm of the gradient is the same
/// number however many ranks there are.
struct ParameterShares: Sendable, Equatable {
  /// Contiguous parameters, and the part of each rank.
  struct Run: Sendable, Equatable {
    /// The bytes of each rank, in the arena of the parameters.
    let bytes: [Range<Int>]
    /// The blocks of the sum of squares of each rank.
    let blocks: [Range<Int>]
  }

  /// What is complete together, in the order of a backward pass: a stage for each layer, from the last,
  /// and one for the rest. A single rank has the last alone.
  let stages: [[Run]]
  /// Bytes of all parameters.
  let byteCount: Int
  /// Blocks of the sum of squares.
  let blockCount: Int

  /// Shares of the trained parameters of `weights` for `ranks` ranks.
  ///
  /// - Parameters:
  ///   - weights: The parameters; they need not be in memory.
  ///   - ranks: How many ranks there are.
  ///   - block: Elements of a block of the sum of squares.
  init(of weights: ModelWeights, ranks: Int, block: Int) {
    let (byteCount, blockBytes) = (weights.vectorBytes.upperBound, 4 * block)
    let count = (byteCount + blockBytes - 1) / blockBytes
    (self.byteCount, blockCount) = (byteCount, count)
    let layers = ranks == 1 ? [] : Self.blocks(of: weights, block: blockBytes)
    var rest: [Range<Int>] = []
    var end = 0
    for range in layers.joined().sorted(by: { $0.lowerBound < $1.lowerBound }) {
      rest.append(end..<range.lowerBound)
      end = range.upperBound
    }
    rest.append(end..<count)
    stages = (layers.reversed() + [rest]).enumerated().map { index, ranges in
      ranges.filter { !$0.isEmpty }.map { range in
        let blocks = (0..<ranks).map { rank in
          // A few blocks are not always the same rank's.
          let slot = (rank + index) % ranks
          return range.lowerBound + range.count * slot / ranks..<range.lowerBound + range.count
            * (slot + 1) / ranks
        }
        return Run(
          bytes: blocks.map {
            min($0.lowerBound * blockBytes, byteCount)..<min($0.upperBound * blockBytes, byteCount)
          }, blocks: blocks)
      }
    }
  }

  /// The blocks that are complete with each layer: those of its matrices, and of its mask logits. The
  /// block in which a layer ends and the next begins is complete with the earlier one.
  private static func blocks(of weights: ModelWeights, block: Int) -> [[Range<Int>]] {
    var result = [[Range<Int>]](repeating: [], count: weights.layers.count)
    for part in [weights.productBytes, weights.logitBytes] {
      let starts = weights.layers.map { layer in
        layer.matrices.map(\.byteOffset).filter { part.contains($0) }.min()
      }
      for (index, start) in starts.enumerated() {
        guard let start else { continue }
        let end = index + 1 < starts.count ? starts[index + 1] : nil
        // What follows the last layer's may belong to a part that is complete later.
        let upper = end.map { ($0 + block - 1) / block } ?? part.upperBound / block
        let lower = (start + block - 1) / block
        if lower < upper { result[index].append(lower..<upper) }
      }
    }
    return result
  }

  /// The bytes of a rank, stage by stage.
  func bytes(of rank: Int) -> [Range<Int>] {
    stages.joined().map { $0.bytes[rank] }.filter { !$0.isEmpty }
  }

  /// The most bytes that a rank has.
  var largest: Int {
    let ranks = stages.joined().first?.bytes.count ?? 0
    return (0..<ranks).map { bytes(of: $0).reduce(0) { $0 + $1.count } }.max() ?? 0
  }

  /// The most bytes that a rank has of a run.
  var largestOfRun: Int { stages.joined().flatMap(\.bytes).map(\.count).max() ?? 0 }
}

extension LayerWeights {
  /// What the layer's products multiply by, and its mask logits.
  fileprivate var matrices: [Tensor] {
    [qkv, output, down, unit.weight]
      + [unit.masked?.maskLogits, unit.router?.weight].compactMap(\.self)
  }
}

/// Parts of an arena in memory of their own, addressed as the whole would be.
struct ArenaShare: Sendable {
  let arena: Arena
  private let parts: [(bytes: Range<Int>, offset: Int)]

  /// The parts of the whole that lie in `arena`, one after the other.
  init(_ parts: [Range<Int>], in arena: Arena) {
    self.arena = arena
    var offset = 0
    self.parts = parts.map { bytes in
      defer { offset += bytes.count }
      return (bytes, offset)
    }
  }

  /// The float32 elements of a part of the whole that lies in the arena.
  func floats(inBytes range: Range<Int>) -> Tensor {
    guard
      let part = parts.first(where: {
        $0.bytes.lowerBound <= range.lowerBound && range.upperBound <= $0.bytes.upperBound
      })
    else { preconditionFailure("\(range) lies in no part of the share") }
    let start = range.lowerBound - part.bytes.lowerBound + part.offset
    return arena.floats(inBytes: start..<start + range.count)
  }
}
