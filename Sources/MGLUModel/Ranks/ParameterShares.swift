import MGLU

/// The part of the parameters, and of what is laid out like them, that each rank steps: ZeRO's first stage
/// (Rajbhandari et al., 2020).
///
/// A backward pass completes gradients from the last layer to the first. What is complete together is a
/// stage, and each rank has a share of every stage, so that ranks exchange a stage while the pass goes
/// on. Shares consist of blocks of the sum of squares, so that the norm of the gradient is the same
/// number however many ranks there are.
package struct ParameterShares: Sendable, Equatable {
  /// Contiguous parameters, and the part of each rank.
  package struct Run: Sendable, Equatable {
    /// The bytes of each rank, in the arena of the parameters.
    package let bytes: [Range<Int>]
    /// The blocks of the sum of squares of each rank; none of what is not trained.
    package let blocks: [Range<Int>]

    /// The bytes of all ranks.
    package var range: Range<Int> {
      (bytes.map(\.lowerBound).min() ?? 0)..<(bytes.map(\.upperBound).max() ?? 0)
    }
  }

  /// What is complete together, in the order of a backward pass: a stage for each layer, from the last,
  /// and one for the rest. A single rank has the last alone.
  package let stages: [[Run]]
  /// What is not trained, the fixed masks of each layer, from the first.
  let untrained: [[Run]]
  /// Bytes of all trained parameters.
  package let byteCount: Int
  /// Blocks of the sum of squares.
  package let blockCount: Int

  /// Shares of the parameters of `weights` for `ranks` ranks.
  ///
  /// - Parameters:
  ///   - weights: The parameters; they need not be in memory.
  ///   - ranks: How many ranks there are.
  package init(of weights: ModelWeights, ranks: Int) {
    let (byteCount, blockBytes) = (weights.vectorBytes.upperBound, 4 * CPUBackend.squareBlock)
    let count = (byteCount + blockBytes - 1) / blockBytes
    (self.byteCount, blockCount) = (byteCount, count)
    let layers =
      ranks == 1
      ? []
      : weights.layerBytes.map { layer in
        layer.filter { $0.upperBound <= byteCount }.map {
          $0.lowerBound / blockBytes..<$0.upperBound / blockBytes
        }
      }
    var rest: [Range<Int>] = []
    var end = 0
    for range in layers.joined().sorted(by: { $0.lowerBound < $1.lowerBound }) {
      rest.append(end..<range.lowerBound)
      end = range.upperBound
    }
    rest.append(end..<count)
    stages = (layers.reversed() + [rest]).enumerated().map { index, ranges in
      ranges.filter { !$0.isEmpty }.map { range in
        // A few blocks are not always the same rank's.
        let blocks = Self.divided(range, ranks: ranks, first: index)
        return Run(
          bytes: blocks.map {
            min($0.lowerBound * blockBytes, byteCount)..<min($0.upperBound * blockBytes, byteCount)
          }, blocks: blocks)
      }
    }
    untrained = weights.layerBytes.enumerated().map { index, layer in
      layer.filter { $0.lowerBound >= byteCount }.map { bytes in
        let line = 64
        let lines = Self.divided(0..<bytes.count / line, ranks: ranks, first: index)
        return Run(
          bytes: lines.map {
            bytes.lowerBound + line * $0.lowerBound..<bytes.lowerBound + line * $0.upperBound
          }, blocks: lines.map { _ in 0..<0 })
      }
    }
  }

  /// The part of each rank, of which one that `first` tells comes first.
  private static func divided(_ range: Range<Int>, ranks: Int, first: Int) -> [Range<Int>] {
    (0..<ranks).map { rank in
      let slot = (rank + first) % ranks
      return range.lowerBound + range.count * slot / ranks..<range.lowerBound + range.count
        * (slot + 1) / ranks
    }
  }

  /// What no layer has to itself: embedding, head, norms and biases.
  package var rest: [Run] { stages[stages.count - 1] }

  /// The matrices and masks of a layer, where there are several ranks.
  func runs(ofLayer index: Int) -> [Run] { stages[stages.count - 2 - index] + untrained[index] }

  /// The bytes of a rank that layers have to themselves, those of fixed masks too.
  package func layerBytes(of rank: Int) -> [Range<Int>] {
    untrained.indices.flatMap { runs(ofLayer: $0) }.map { $0.bytes[rank] }.filter { !$0.isEmpty }
  }

  /// The trained bytes of a rank, stage by stage.
  package func bytes(of rank: Int) -> [Range<Int>] {
    stages.joined().map { $0.bytes[rank] }.filter { !$0.isEmpty }
  }

  /// The bytes of a rank, those of fixed masks too.
  package func allBytes(of rank: Int) -> [Range<Int>] {
    bytes(of: rank) + untrained.joined().map { $0.bytes[rank] }.filter { !$0.isEmpty }
  }

  /// The most trained bytes that a rank has.
  package var largest: Int {
    let ranks = stages.joined().first?.bytes.count ?? 0
    return (0..<ranks).map { bytes(of: $0).reduce(0) { $0 + $1.count } }.max() ?? 0
  }

  /// The most bytes that a rank has of a run.
  package var largestOfRun: Int { stages.joined().flatMap(\.bytes).map(\.count).max() ?? 0 }
}
