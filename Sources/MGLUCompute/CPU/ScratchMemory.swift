import Synchronization

/// Memory that an operation works in, and gives back: it is allocated only where no other is free or large
/// enough, so steps of equal sizes allocate nothing. Several threads may take some at once.
final class ScratchMemory: Sendable {
  /// One piece, which one operation has at a time.
  final class Piece: @unchecked Sendable {
    fileprivate var buffer = HostBuffer(byteCount: 0)

    var base: UnsafeMutableRawPointer { buffer.base }
  }

  private let free = Mutex<[Piece]>([])

  /// At least `byteCount` bytes of any content.
  func take(byteCount: Int) -> Piece {
    let piece = free.withLock { $0.popLast() } ?? Piece()
    if piece.buffer.byteCount < byteCount { piece.buffer = HostBuffer(byteCount: byteCount) }
    return piece
  }

  /// Ends the use of `piece`.
  func giveBack(_ piece: Piece) { free.withLock { $0.append(piece) } }
}
