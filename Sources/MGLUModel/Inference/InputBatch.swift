/// What the host tells a step: tokens, positions and slots of its rows, and where tokens come from and go
/// to that only the device knows.
///
/// A session has several in memory that the host writes, which take turns (``InferenceSession/turns``), and
/// one where the model reads them.
struct InputBatch {
  /// The tokens of rows, int32 `[rows]`.
  let tokens: Tensor
  /// Their positions, int32 `[rows]`.
  let positions: Tensor
  /// The slots of their sequences, int32 `[rows]`.
  let slots: Tensor
  /// For rows that decode: which of the tokens sampled by the step before is theirs, or -1, int32
  /// `[sampled]`.
  let sources: Tensor
  /// The rows that sampled tokens follow, int32 `[sampled]`.
  let sampledRows: Tensor
  /// The tiles of prompts, int32 `[tiles, 4]` (``AttentionRows/tiles``).
  let tiles: Tensor

  /// A batch of `rows` rows, of which up to `sampled` are sampled from and others are prompts' in up to
  /// `chunks` chunks.
  init(rows: Int, sampled: Int, chunks: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    slots = layout.tensor([rows], .int32)
    sources = layout.tensor([sampled], .int32)
    sampledRows = layout.tensor([sampled], .int32)
    let tiles = rows / AttentionRows.tileRows + chunks
    self.tiles = layout.tensor([tiles, 4], .int32)
  }

  /// Writes `tokens` of the sequence in `slot`, the first of which has the position `position`, from a
  /// row on.
  func enter(_ tokens: some Collection<Int32>, at position: Int, slot: Int, firstRow: Int) {
    // A GPU waits for this: no call for each element.
    let rows = UnsafeMutableBufferPointer(
      start: self.tokens.integers + firstRow, count: tokens.count)
    _ = rows.update(fromContentsOf: tokens)
    let (positions, slots) = (positions.integers + firstRow, slots.integers + firstRow)
    for index in rows.indices {
      positions[index] = Int32(truncatingIfNeeded: position + index)
      slots[index] = Int32(truncatingIfNeeded: slot)
    }
  }

  /// Writes the tiles of `chunks`, and returns how many there are.
  func enterTiles(of chunks: [AttentionRows.Chunk]) -> Int {
    var count = 0
    for chunk in chunks {
      for first in stride(from: 0, to: chunk.rows.count, by: AttentionRows.tileRows) {
        let rows = min(AttentionRows.tileRows, chunk.rows.count - first)
        for (index, value) in [
          chunk.rows.lowerBound + first, rows, chunk.slot, chunk.position + first,
        ].enumerated() {
          tiles.integers[4 * count + index] = Int32(value)
        }
        count += 1
      }
    }
    return count
  }

  /// Brings all of it to `other`, which has the same layout.
  func copy(to other: InputBatch, on backend: any InferenceBackend) {
    backend.copy(tokens.arena.elements(.int32), into: other.tokens.arena.elements(.int32))
  }
}
