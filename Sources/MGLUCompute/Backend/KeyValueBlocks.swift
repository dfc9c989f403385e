/// The KV cache of one layer for all sequences, in blocks of consecutive positions: keys and values
/// `[blocks, kvHeads, blockSize, headSize]` each, of the type that the backend chose
/// (``InferenceBackend/cacheType(weights:precision:)``). Keys are rotated.
public struct KeyValueBlocks: Sendable {
  /// The rotated keys.
  public let keys: Tensor
  /// The values.
  public let values: Tensor

  /// Consecutive positions of a sequence that lie together.
  public var blockSize: Int { keys.shape[2] }

  /// A cache of `blocks` blocks for attention of `shape`.
  public init(
    _ shape: AttentionShape, blocks: Int, blockSize: Int, type: DataType,
    in layout: inout ArenaLayout
  ) {
    keys = layout.tensor([blocks, shape.kvHeads, blockSize, shape.headSize], type)
    values = layout.tensor([blocks, shape.kvHeads, blockSize, shape.headSize], type)
  }
}

/// Whose rows a step has, for attention.
///
/// The first ``decodeRows`` rows decode: each is the only row of its sequence. The others are chunks of
/// prompts, one after the other: consecutive positions of one sequence each.
public struct AttentionRows: Sendable {
  /// The position of each row, int32 `[n]`.
  public let positions: Tensor
  /// The line of ``blockTables`` that each row's sequence has, int32 `[n]`.
  public let slots: Tensor
  /// For each slot the blocks of its sequence in the order of positions, int32
  /// `[slots, blocksPerSequence]`: position p lies in block `blockTables[slot][p / blockSize]`.
  public let blockTables: Tensor
  /// How many of the rows decode.
  public let decodeRows: Int
  /// The chunks of prompts, in order of rows, as the host knows them.
  public let chunks: [Chunk]
  /// The chunks in tiles of at most ``tileRows`` rows: first row, number of rows, slot and position of
  /// the first row, int32 `[tiles, 4]`; `nil` without chunks.
  public let tiles: Tensor?

  /// Most rows of a tile.
  public static let tileRows = 128

  /// Consecutive rows of one sequence.
  public struct Chunk: Sendable {
    /// Which rows of the step.
    public let rows: Range<Int>
    /// The line of the block tables.
    public let slot: Int
    /// The position of the first row.
    public let position: Int

    /// `rows` of the sequence in `slot` from `position` on.
    public init(rows: Range<Int>, slot: Int, position: Int) {
      (self.rows, self.slot, self.position) = (rows, slot, position)
    }
  }

  /// Rows of a step.
  public init(
    positions: Tensor, slots: Tensor, blockTables: Tensor, decodeRows: Int, chunks: [Chunk] = [],
    tiles: Tensor? = nil
  ) {
    (self.positions, self.slots, self.blockTables) = (positions, slots, blockTables)
    (self.decodeRows, self.chunks, self.tiles) = (decodeRows, chunks, tiles)
  }
}
