import MGLUModel

/// The sum of the gradients of a step's micro-batches, each computed by itself and added in the order
/// of their numbers: ((g0 + g1) + g2) + ..., whoever computes them.
///
/// In round j rank r computes micro-batch j R + r of R ranks. After a round every rank sends each other
/// its share of the round's gradient, and adds what arrives to its own share of the sum, row by row.
/// That moves the bytes of a reduce-scatter. A single rank adds the whole, and a single micro-batch is
/// its own sum.
package struct GradientSum: Sendable {
  /// How many micro-batches are computed side by side, round by round.
  package let rounds: Int
  /// The own share of the sum, complete after the last round; ``AdamW`` clears it.
  let sum: ArenaShare

  private let microBatches: Int
  private let gradients: Gradients
  private let shares: ParameterShares
  private let byteCount: Int
  private let backend: any TrainingBackend
  private let communicator: (any Communicator)?
  /// Where what other ranks send arrives, of equal size on all.
  let staging: Arena?

  /// The most bytes of what arrives at a time.
  static let stagingBytes = 256 << 20

  /// Memory of a sum; `gradients` are those of a micro-batch.
  ///
  /// - Parameters:
  ///   - gradients: Where passes add the gradient of a micro-batch; zero before the first round.
  ///   - byteCount: Bytes of the trained parameters.
  ///   - shares: Which part of them each rank has.
  ///   - microBatches: How many gradients a step has.
  ///   - backend: What computes.
  ///   - communicator: What connects the ranks, or `nil` for one.
  init(
    _ gradients: Gradients, byteCount: Int, shares: ParameterShares, microBatches: Int,
    on backend: any TrainingBackend, communicator: (any Communicator)?
  ) {
    let ranks = communicator?.group.size ?? 1
    let own = shares.bytes[communicator?.group.rank ?? 0]
    rounds = (microBatches + ranks - 1) / ranks
    self.microBatches = microBatches
    self.gradients = gradients
    self.shares = shares
    self.byteCount = byteCount
    self.backend = backend
    self.communicator = communicator
    // Over one round the gradient's own memory holds the sum.
    sum =
      rounds == 1
      ? ArenaShare(arena: gradients.arena, start: 0)
      : ArenaShare(
        arena: backend.allocate { $0.tensor([own.count / 4]) }.arena, start: own.lowerBound)
    staging =
      ranks == 1
      ? nil : backend.allocate { $0.tensor([ranks * Self.piece(shares) / 4]) }.arena
  }

  /// Bytes of a share that are sent at a time.
  private static func piece(_ shares: ParameterShares) -> Int {
    let largest = shares.bytes.map(\.count).max() ?? 0
    return max(64, min(largest, stagingBytes / shares.bytes.count / 64 * 64))
  }

  /// Bytes of the sum and of what arrives, beside the gradients, on the rank that has most.
  static func byteCount(trained: Int, ranks: Int, microBatches: Int, block: Int) -> Int {
    let shares = ParameterShares(of: trained, ranks: ranks, block: block)
    let sum = microBatches > ranks ? shares.bytes.map(\.count).max() ?? 0 : 0
    return sum + (ranks == 1 ? 0 : ranks * piece(shares))
  }

  /// Where the pass of a round adds its gradient. The first micro-batch of a single rank begins the sum.
  package func gradients(ofRound round: Int) -> Gradients {
    communicator == nil && round == 0 ? Gradients(arena: sum.arena) : gradients
  }

  /// Adds the gradients of a round to the sum, and leaves memory for the next.
  package func add(round: Int) {
    guard let communicator, let staging else {
      guard round > 0 else { return }
      let all = gradients.arena.floats(inBytes: 0..<byteCount)
      backend.addRows(
        all.reshaped([1, all.count]), into: sum.floats(inBytes: 0..<byteCount), accumulates: true)
      return backend.clear(all)
    }
    let group = communicator.group
    let present = min(group.size, microBatches - round * group.size)
    let own = shares.bytes[group.rank]
    let piece = Self.piece(shares)
    let largest = shares.bytes.map(\.count).max() ?? 0
    for offset in stride(from: 0, to: largest, by: piece) {
      func part(_ rank: Int) -> Tensor {
        let share = shares.bytes[rank]
        let start = min(share.lowerBound + offset, share.upperBound)
        return gradients.arena.floats(inBytes: start..<min(start + piece, share.upperBound))
      }
      let target = part(group.rank)
      let rows = staging.floats(inBytes: 0..<present * target.byteCount)
        .reshaped([present, target.count])
      func row(_ rank: Int) -> Tensor { rows[rank..<rank + 1].reshaped([target.count]) }
      let others = (0..<group.size).filter { $0 != group.rank }
      communicator.exchange(
        sends: group.rank < present ? others.map { Transfer(part($0), peer: $0) } : [],
        receives: others.filter { $0 < present }.map { Transfer(row($0), peer: $0) })
      guard target.count > 0 else { continue }
      if group.rank < present { backend.copy(target, into: row(group.rank)) }
      let start = own.lowerBound + offset
      backend.addRows(
        rows, into: sum.floats(inBytes: start..<start + target.byteCount), accumulates: round > 0)
    }
    for range in rounds == 1
      ? [0..<own.lowerBound, own.upperBound..<byteCount] : [0..<byteCount]
    where !range.isEmpty {
      backend.clear(gradients.arena.floats(inBytes: range))
    }
  }
}
