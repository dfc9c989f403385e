/// Files of token ids, read and written: llm.c's, with a header of 256 int32, and nanoGPT's,
/// without any.
public enum TokenShard {
  /// llm.c's two kinds.
  enum Kind {
    /// GPT-2: ids in 16 bits.
    case narrow
    /// Llama 3: ids in 32 bits.
    case wide

    var magic: UInt32 { self == .narrow ? 20_240_520 : 20_240_801 }
    var version: UInt32 { self == .narrow ? 1 : 7 }
    var width: Int { self == .narrow ? 2 : 4 }
  }

  static let headerByteCount = 1024

  /// Whether a file's name says that it is a shard.
  static func isShard(_ path: String) -> Bool { path.hasSuffix(".bin") }

  /// Maps the shard at `path`. Its ids are checked as they are read.
  static func open(_ path: String) throws(DataError) -> TokenSequence.Piece {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw DataError(reading: error) }
    guard file.byteCount > 0 else { throw DataError(.empty, "\(path): the shard is empty") }
    func word(_ index: Int) -> UInt32 {
      UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
    }
    let magic = file.byteCount >= 4 ? word(0) : 0
    guard let kind = [Kind.narrow, .wide].first(where: { $0.magic == magic }) else {
      // 253 zero words in a row are the unused part of a header, not tokens.
      if file.byteCount >= headerByteCount, (3..<256).allSatisfy({ word($0) == 0 }) {
        throw DataError(
          .malformed,
          "\(path): a shard with the magic number \(magic): expected "
            + "\(Kind.narrow.magic) (16 bits) or \(Kind.wide.magic) (32 bits)",
          remedy: "pack the text again with mglu data pack")
      }
      return try headerless(file)
    }
    guard file.byteCount >= headerByteCount else {
      throw DataError(
        .wrongSize, "\(path): \(file.byteCount) bytes, less than a header of \(headerByteCount)")
    }
    guard word(1) == kind.version else {
      throw DataError(
        .malformed, "\(path): shard version \(word(1)): expected \(kind.version)")
    }
    let count = Int(word(2))
    let expected = headerByteCount + count * kind.width
    guard file.byteCount == expected else {
      throw DataError(
        .wrongSize,
        "\(path): \(file.byteCount) bytes, but its header tells of \(count) tokens, "
          + "which take \(expected)", remedy: "the file is cut short or damaged: fetch it again")
    }
    return TokenSequence.Piece(
      mapped: file, offset: headerByteCount, width: kind.width, count: count)
  }

  /// nanoGPT's: 16-bit ids from the first byte on.
  private static func headerless(_ file: MappedFile) throws(DataError) -> TokenSequence.Piece {
    guard file.byteCount % 2 == 0 else {
      throw DataError(
        .wrongSize,
        "\(file.path): \(file.byteCount) bytes without a header: expected an even "
          + "number, two for each token")
    }
    return TokenSequence.Piece(mapped: file, offset: 0, width: 2, count: file.byteCount / 2)
  }

  /// Writes `ids` as an llm.c shard: 16 bits for each where the vocabulary allows it, else 32.
  public static func write(
    _ ids: [Int32], vocabularySize: Int, to path: String
  ) throws(DataError) {
    let kind: Kind = vocabularySize <= 1 << 16 ? .narrow : .wide
    guard ids.count < 1 << 31 else {
      throw DataError(.wrongSize, "\(path): \(ids.count) tokens: a shard holds fewer than 2^31")
    }
    let fields = [kind.magic, kind.version, UInt32(ids.count)]
    var bytes: [UInt8] = []
    bytes.reserveCapacity(headerByteCount + ids.count * kind.width)
    for index in 0..<256 {
      bytes += littleEndian(index < fields.count ? fields[index] : 0, 4)
    }
    for id in ids { bytes += littleEndian(UInt32(bitPattern: id), kind.width) }
    do { try AtomicFile.write(bytes, to: path) } catch { throw DataError(writing: error) }
  }

  private static func littleEndian(_ value: UInt32, _ width: Int) -> some Sequence<UInt8> {
    (0..<width).lazy.map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
  }
}
