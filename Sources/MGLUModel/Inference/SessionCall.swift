#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

// Sessions over a model that ranks share: rank 0 has them, and the others do as it is asked to. What a step
// computes follows from these calls and from tokens that are equal on all ranks, so that all exchange what
// belongs together.

/// What a session is asked for.
enum SessionCall: Codable {
  case begin(maxSequences: Int, contextLength: Int?, cacheBlocks: Int?, prefillChunkSize: Int?)
  case warmUp
  case insert(GenerationRequest, draws: Int)
  case open
  case append([Int32], to: SequenceID)
  case remove(SequenceID)
  case next
  case end
}

/// A call, and the session that is meant.
private struct SessionMessage: Codable {
  let session: UInt
  let call: SessionCall
}

extension InferenceSession {
  /// Asks the other ranks for the same, where this is rank 0 of several that share the model.
  func tell(_ call: SessionCall) throws(GenerationError) {
    guard let group = model.communicator?.group, group.isLeader else { return }
    // No other session is at this address before the end of this one was told.
    let session = UInt(bitPattern: ObjectIdentifier(self))
    do {
      let bytes = try JSONEncoder().encode(SessionMessage(session: session, call: call))
      _ = try group.broadcast(Array(bytes))
    } catch { throw GenerationError(telling: error) }
  }
}

extension InferenceModel {
  /// Ends the ``SessionFollower``s of the other ranks that share the model.
  ///
  /// - Throws: ``GenerationProblem/backend`` where a rank was lost.
  public func endFollowers() throws(GenerationError) {
    do { _ = try communicator?.group.broadcast([]) } catch {
      throw GenerationError(telling: error)
    }
  }
}

/// What every rank but the first does that shares a model: it has the sessions that rank 0 has, and computes
/// with them what those are asked for.
public final class SessionFollower {
  private let model: InferenceModel
  /// The sessions, by what rank 0 calls them.
  package private(set) var sessions: [UInt: InferenceSession] = [:]

  /// Follows the sessions over the same model on rank 0.
  ///
  /// - Parameter model: This rank's share.
  public init(_ model: InferenceModel) { self.model = model }

  /// Computes until rank 0 ends it (``InferenceModel/endFollowers()``).
  ///
  /// - Throws: ``GenerationProblem/backend`` where the device failed, or a rank was lost.
  public func run() throws(GenerationError) { while try next() {} }

  /// Does what rank 0 asks for next; `false` where that is to end.
  package func next() throws(GenerationError) -> Bool {
    let message: SessionMessage
    do {
      let bytes = try model.communicator?.group.broadcast([]) ?? []
      if bytes.isEmpty { return false }
      message = try JSONDecoder().decode(SessionMessage.self, from: Data(bytes))
    } catch { throw GenerationError(telling: error) }
    do throws(GenerationError) { try compute(message) } catch {
      // Rank 0 has met with any other error, too, and gone on.
      if error.code == .backend { throw error }
    }
    return true
  }

  private func compute(_ message: SessionMessage) throws(GenerationError) {
    let session = sessions[message.session]
    switch message.call {
    case .begin(let maxSequences, let contextLength, let cacheBlocks, let prefillChunkSize):
      sessions[message.session] = InferenceSession(
        model, maxSequences: maxSequences, contextLength: contextLength, cacheBlocks: cacheBlocks,
        prefillChunkSize: prefillChunkSize)
    case .warmUp: try session?.warmUp()
    case .insert(let request, let draws): _ = try session?.insert(request, afterDraws: draws)
    case .open: _ = try session?.open()
    case .append(let tokens, let sequence): _ = try session?.append(tokens, to: sequence)
    case .remove(let sequence): session?.remove(sequence)
    case .next: _ = try session?.next()
    case .end: sessions[message.session] = nil
    }
  }
}

extension Failure where Code == GenerationProblem {
  /// The error of what ranks could not tell each other.
  fileprivate init(telling error: any Error) {
    let lost = error as? CommunicationError
    self.init(.backend, lost?.message ?? "ranks cannot agree: \(error)", remedy: lost?.remedy)
  }
}
