/// A long sequence of token ids, in memory or mapped from shards: opening costs nothing, and a
/// slice shares its pieces.
///
/// May be read from any thread.
public struct TokenSequence: Sendable {
  /// Consecutive ids of one origin.
  struct Piece: Sendable {
    enum Storage: Sendable {
      case memory([Int32])
      case mapped(MappedFile, offset: Int, width: Int)
    }

    let storage: Storage
    let count: Int

    init(_ ids: [Int32]) {
      storage = .memory(ids)
      count = ids.count
    }

    init(mapped file: MappedFile, offset: Int, width: Int, count: Int) {
      storage = .mapped(file, offset: offset, width: width)
      self.count = count
    }

    /// Where an id is, for an error.
    func place(of index: Int) -> String {
      guard case .mapped(let file, _, _) = storage else { return "token \(index)" }
      return "\(file.path): token \(index)"
    }

    subscript(index: Int) -> Int32 {
      switch storage {
      case .memory(let ids): return ids[index]
      case .mapped(let file, let offset, let width):
        let start = offset + index * width
        if width == 2 {
          let value = file.bytes.loadUnaligned(fromByteOffset: start, as: UInt16.self)
          return Int32(UInt16(littleEndian: value))
        }
        let value = file.bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)
        // An id beyond Int32 becomes negative, which no vocabulary holds.
        return Int32(truncatingIfNeeded: UInt32(littleEndian: value))
      }
    }
  }

  private let pieces: [Piece]
  /// Where each piece starts, and the end of the last.
  private let starts: [Int]
  private let range: Range<Int>

  /// The number of tokens.
  public var count: Int { range.count }

  /// A sequence in memory.
  public init(_ ids: [Int32]) { self.init([Piece(ids)]) }

  init(_ pieces: [Piece]) {
    self.pieces = pieces
    var starts = [0]
    for piece in pieces { starts.append((starts.last ?? 0) + piece.count) }
    self.starts = starts
    range = 0..<(starts.last ?? 0)
  }

  private init(_ pieces: [Piece], starts: [Int], range: Range<Int>) {
    self.pieces = pieces
    self.starts = starts
    self.range = range
  }

  /// A part, which shares the tokens. Bounds outside are clamped.
  public subscript(part: Range<Int>) -> TokenSequence {
    let shifted = part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound
    return TokenSequence(pieces, starts: starts, range: shifted.clamped(to: range))
  }

  /// The ids of `part`, each checked against the vocabulary.
  public func ids(
    _ part: Range<Int>, vocabularySize: Int
  ) throws(DataError) -> [Int32] {
    var result: [Int32] = []
    result.reserveCapacity(part.count)
    var piece = pieceIndex(of: part.lowerBound + range.lowerBound)
    for position in part {
      let absolute = position + range.lowerBound
      while absolute >= starts[piece + 1] { piece += 1 }
      let index = absolute - starts[piece]
      let id = pieces[piece][index]
      guard id >= 0, Int(id) < vocabularySize else {
        throw DataError(
          .tokenID,
          "\(pieces[piece].place(of: index)) has the id \(id): expected 0 to \(vocabularySize - 1)",
          remedy: "give the tokenizer that the data was encoded with")
      }
      result.append(id)
    }
    do { try MappedFile.requireWhole() } catch { throw DataError(reading: error) }
    return result
  }

  /// The ids of `windows` windows of `length` tokens, spread evenly; of all whole windows where there
  /// are no more, and of what there is where there is none.
  public func spread(
    windows: Int, length: Int, vocabularySize: Int
  ) throws(DataError) -> [Int32] {
    let whole = length > 0 ? count / length : 0
    guard windows < whole else {
      return try ids(0..<(whole > 0 ? whole * length : count), vocabularySize: vocabularySize)
    }
    var result: [Int32] = []
    for window in 0..<windows {
      let start = (count - length) / max(1, windows - 1) * window
      result += try ids(start..<start + length, vocabularySize: vocabularySize)
    }
    return result
  }

  /// The last piece that starts at or before `position`.
  private func pieceIndex(of position: Int) -> Int {
    var (low, high) = (0, pieces.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= position { low = middle } else { high = middle }
    }
    return low
  }

  /// CRC-32C of the count and of up to 65536 tokens from either end: enough to notice that a run
  /// is resumed on other data.
  public var fingerprint: UInt32 {
    let edge = min(count, 1 << 16)
    var crc = CRC32C()
    for part in [0..<edge, count - edge..<count] {
      let ids = (try? ids(part, vocabularySize: .max)) ?? []
      ids.withUnsafeBytes { crc.update($0) }
    }
    withUnsafeBytes(of: UInt64(count).littleEndian) { crc.update($0) }
    return crc.value
  }
}
