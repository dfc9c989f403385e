import Synchronization

/// Memory that an operation works in, and gives back: it is allocated only where no other is free or large
/// enough, so steps of equal sizes allocate nothing. Several threads may take some at once.
final class ScratchMemory: @unchecked Sendable {
  /// One piece, which one operation has at a time.
  final class Piece: @unchecked Sendable {
    fileprivate var buffer = HostBuffer(byteCount: 0)

    var base: UnsafeMutableRawPointer { buffer.base }
  }

  /// The pieces that no operation has.
  private final class Free: Sendable {
    let pieces = Mutex<[Piece]>([])
  }

  // Changed after a fork alone, by the one thread that renews it.
  private var free = Free()
  private let renewal = ForkRenewal()

  /// At least `byteCount` bytes of any content.
  func take(byteCount: Int) -> Piece {
    // A thread of the parent may hold the old lock, in the middle of a change: what it guards stays.
    renewal.renew {
      _ = Unmanaged.passRetained(free)
      free = Free()
    }
    let piece = free.pieces.withLock { $0.popLast() } ?? Piece()
    if piece.buffer.byteCount < byteCount { piece.buffer = HostBuffer(byteCount: byteCount) }
    return piece
  }

  /// Ends the use of `piece`.
  func giveBack(_ piece: Piece) { free.pieces.withLock { $0.append(piece) } }
}
