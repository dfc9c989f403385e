/// What kept ranks from computing together.
public enum CommunicationProblem: Sendable {
  /// What a launcher says of the ranks does not fit together.
  case launch
  /// Not every rank came to the meeting point, or it could not be opened.
  case rendezvous
  /// A rank ended or stopped answering, or reported an error of its own.
  case rankLost
  /// The ranks were started with different settings or data.
  case disagreement
  /// There is no NCCL.
  case noLibrary
  /// NCCL or the network reported a failure.
  case transport
}

/// An error of ranks that compute together.
public typealias CommunicationError = Failure<CommunicationProblem>

/// What one rank sends to another, or receives from it.
public struct Transfer: Sendable {
  /// The elements, in memory of the backend.
  public let tensor: Tensor
  /// The other rank.
  public let peer: Int

  /// A transfer of `tensor`.
  ///
  /// - Parameters:
  ///   - tensor: The elements, in memory of the backend.
  ///   - peer: The rank at the other end.
  public init(_ tensor: Tensor, peer: Int) {
    self.tensor = tensor
    self.peer = peer
  }
}

/// Moves tensors between the ranks of a group: the one operation that collectives are made of.
///
/// A transport adds nothing up. Sums are operations of the backend over what arrived, in an order that
/// no number of ranks changes.
public protocol Communicator: AnyObject, Sendable {
  /// The ranks.
  var group: RankGroup { get }
  /// What moves tensors, in a few words.
  var summary: String { get }

  /// Sends and receives side by side, in order with the operations of the backend. What one rank sends
  /// another is received in the order of the lists, and each pair has equal sizes on both ends.
  ///
  /// What fails is remembered and thrown by ``finish()``; nothing moves after that.
  ///
  /// - Parameters:
  ///   - sends: Tensors of this rank, unchanged until ``finish()``.
  ///   - receives: Tensors to fill.
  ///   - name: Where given, the same tensors of every rank are meant each time, until ``forget()``, and
  ///     all ranks call it: what they tell each other once need not be told again.
  func exchange(sends: [Transfer], receives: [Transfer], named name: String?)

  /// Lets go of the tensors of named exchanges, whose memory may then be freed. All ranks must call it,
  /// once their exchanges are done.
  func forget()

  /// Waits for every exchange, and every operation of the backend before it.
  ///
  /// - Throws: The first failure; ``CommunicationProblem/rankLost`` names the rank.
  func finish() throws(CommunicationError)
}

extension Communicator {
  public func forget() {}

  /// An exchange of tensors that may be others each time.
  public func exchange(sends: [Transfer], receives: [Transfer]) {
    exchange(sends: sends, receives: receives, named: nil)
  }

  /// Gives the tensors of each rank to all others, which have them at the same places.
  ///
  /// - Parameters:
  ///   - pieces: The tensors that each rank has, by rank; empty ones are left out.
  ///   - name: See ``exchange(sends:receives:named:)``.
  public func allGather(_ pieces: [[Tensor]], named name: String? = nil) {
    let pieces = pieces.map { $0.filter { $0.count > 0 } }
    let others = (0..<group.size).filter { $0 != group.rank }
    exchange(
      sends: pieces[group.rank].flatMap { piece in others.map { Transfer(piece, peer: $0) } },
      receives: others.flatMap { peer in pieces[peer].map { Transfer($0, peer: peer) } },
      named: name)
  }
}
