import MGLUModel

/// The sum of the gradients of a step's micro-batches, each computed by itself and added in the order
/// of their numbers: ((g0 + g1) + g2) + ..., whoever computes them.
///
/// In round j rank r computes micro-batch j R + r of R ranks. As soon as a stage of the round's gradient
/// is complete, every rank sends each other its share of the stage, and adds what arrives to its own share
/// of the sum, row by row, beside the rest of the backward pass. That moves the bytes of a reduce-scatter.
/// Where gradients of layers take turns in the same memory, that of the last layer but one is free again then.
/// A single rank adds the whole, and a single micro-batch is its own sum.
package struct GradientSum: Sendable {
  /// How many micro-batches are computed side by side, round by round.
  package let rounds: Int
  /// The own share of the sum, complete after the last round.
  let sum: ArenaParts

  private let microBatches: Int
  private let gradients: Gradients
  private let shares: ParameterShares
  private let backend: any TrainingBackend
  private let communicator: (any Communicator)?
  /// Where what other ranks send arrives, of equal size on all.
  let staging: Arena?

  /// The most bytes of what arrives at a time.
  static let stagingBytes = 256 << 20

  /// Memory of a sum.
  ///
  /// - Parameters:
  ///   - gradients: Where passes leave the gradient of a micro-batch.
  ///   - shares: Which part of them each rank has.
  ///   - microBatches: How many gradients a step has.
  ///   - isSharded: Whether gradients of layers take turns in the same memory.
  ///   - backend: What computes.
  ///   - communicator: What connects the ranks, or `nil` for one.
  init(
    _ gradients: Gradients, shares: ParameterShares, microBatches: Int, isSharded: Bool,
    on backend: any TrainingBackend, communicator: (any Communicator)?
  ) {
    let ranks = communicator?.group.size ?? 1
    rounds = (microBatches + ranks - 1) / ranks
    self.microBatches = microBatches
    self.gradients = gradients
    self.shares = shares
    self.backend = backend
    self.communicator = communicator
    // Over one round the gradient's own memory holds the sum, where it stays.
    if rounds == 1, !isSharded {
      sum = ArenaParts(gradients.arena)
    } else {
      let own = shares.bytes(of: communicator?.group.rank ?? 0)
      sum = backend.allocate { ArenaParts(own, in: &$0) }
    }
    staging =
      ranks == 1
      ? nil : backend.allocate { $0.tensor([ranks * Self.piece(shares, ranks: ranks) / 4]) }.arena
  }

  /// Bytes of a share that are sent at a time.
  private static func piece(_ shares: ParameterShares, ranks: Int) -> Int {
    max(64, min(shares.largestOfRun, stagingBytes / ranks / 64 * 64))
  }

  /// Bytes of the sum and of what arrives, beside the gradients, on the rank that has most.
  static func byteCount(
    _ shares: ParameterShares, ranks: Int, microBatches: Int, isSharded: Bool
  ) -> Int {
    let sum = microBatches > ranks || isSharded ? shares.largest : 0
    return sum + (ranks == 1 ? 0 : ranks * piece(shares, ranks: ranks))
  }

  /// Where the pass of a round leaves its gradient. The first micro-batch of a single rank begins the sum.
  package func gradients(ofRound round: Int) -> Gradients {
    communicator == nil && round == 0
      ? Gradients(arena: sum.arena, accumulates: false) : gradients
  }

  /// Adds a stage of the gradients of a round to the sum. Operations that are asked for aside: the
  /// caller says so.
  func add(_ stage: Int, round: Int) {
    guard let communicator, let staging else {
      guard round > 0 else { return }
      let all = 0..<shares.byteCount
      let gradient = gradients.floats(inBytes: all)
      return backend.addRows(
        gradient.reshaped([1, gradient.count]), into: sum.elements(inBytes: all), accumulates: true)
    }
    let group = communicator.group
    let present = min(group.size, microBatches - round * group.size)
    let others = (0..<group.size).filter { $0 != group.rank }
    let piece = Self.piece(shares, ranks: group.size)
    for (index, run) in shares.stages[stage].enumerated() {
      for offset in stride(from: 0, to: run.bytes.map(\.count).max() ?? 0, by: piece) {
        func part(_ rank: Int) -> Range<Int> {
          let share = run.bytes[rank]
          let start = min(share.lowerBound + offset, share.upperBound)
          return start..<min(start + piece, share.upperBound)
        }
        func gradient(_ rank: Int) -> Tensor { gradients.floats(inBytes: part(rank)) }
        let own = part(group.rank)
        let rows = staging.floats(inBytes: 0..<present * own.count)
          .reshaped([present, own.count / 4])
        func row(_ rank: Int) -> Tensor { rows[rank..<rank + 1].reshaped([own.count / 4]) }
        communicator.exchange(
          sends: group.rank < present ? others.map { Transfer(gradient($0), peer: $0) } : [],
          receives: others.filter { $0 < present }.map { Transfer(row($0), peer: $0) },
          named: "gradients \(stage).\(index) from \(offset) of \(present)")
        guard !own.isEmpty else { continue }
        if group.rank < present { backend.copy(gradient(group.rank), into: row(group.rank)) }
        backend.addRows(rows, into: sum.elements(inBytes: own), accumulates: round > 0)
      }
    }
  }
}
