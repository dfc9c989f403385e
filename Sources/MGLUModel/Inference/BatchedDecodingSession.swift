/// Several texts read and written side by side over one model: a step takes rows of any of them
/// and reads the weights once for all.
///
/// Each text has a key-value cache of its own. What a text gets does not depend on the texts beside
/// it, as long as it is handed over in the same pieces. A session belongs to one thread at a time.
public final class BatchedDecodingSession {
  /// The model.
  public let model: InferenceModel
  /// The number of tokens that each text has room for.
  public let capacity: Int
  /// Most rows of one step.
  public let rowLimit: Int

  private let rows: DecodeBuffers
  /// The rows whose logits are computed next, gathered.
  private let gathered: Tensor
  private let entered: InputBatch
  private let logits: Tensor
  /// The caches of texts that have ended, for others.
  private var idle: [[KeyValueCache]] = []

  /// Rows whose logits are computed at once.
  private static let logitsRows = 32

  /// Steps of at most `rowLimit` rows over texts of at most `capacity` tokens, by default and at
  /// most the model's context.
  public init(_ model: InferenceModel, rowLimit: Int, capacity: Int? = nil) {
    let configuration = model.configuration
    let context = configuration.contextLength
    self.model = model
    self.rowLimit = max(1, rowLimit)
    self.capacity = max(1, min(capacity ?? context, context))
    let limit = self.rowLimit
    let logitsRows = min(limit, Self.logitsRows)
    (_, (rows, gathered)) = model.backend.allocate { layout in
      (
        DecodeBuffers(configuration, rows: limit, in: &layout),
        layout.tensor([logitsRows, configuration.hiddenSize])
      )
    }
    (_, (entered, logits)) = model.backend.allocateShared { layout in
      (
        InputBatch(limit, in: &layout),
        layout.tensor([logitsRows, configuration.vocabularySize])
      )
    }
  }

  /// One text: how far it has been read, and its cache.
  public final class Text {
    /// The number of tokens in the cache.
    public fileprivate(set) var position = 0
    fileprivate let caches: [KeyValueCache]

    fileprivate init(_ caches: [KeyValueCache]) { self.caches = caches }
  }

  /// Tokens that one text reads in a step.
  public struct Piece {
    /// The text.
    public let text: Text
    /// Its next tokens, at least one.
    public let tokens: ArraySlice<Int32>
    /// Of which of these tokens the logits that follow are wanted.
    public let logits: Range<Int>

    /// A piece that wants the logits after its tokens of the indices `logits`, counted from 0.
    public init(_ text: Text, _ tokens: ArraySlice<Int32>, logits: Range<Int>) {
      (self.text, self.tokens, self.logits) = (text, tokens, logits)
    }
  }

  /// Bytes of the cache of one text.
  public var byteCountPerText: Int {
    let shape = model.configuration.attention
    return model.configuration.layers * 2 * shape.kvWidth * capacity * 4
  }

  /// A text without tokens, in the memory of one that has ended where there is one.
  public func begin() -> Text {
    Text(idle.popLast() ?? model.makeCaches(capacity: capacity))
  }

  /// Makes `text`, which has read nothing, what `other` is.
  public func copy(_ other: Text, into text: Text) {
    precondition(text.position == 0, "a text that was read is not to be another")
    for (source, target) in zip(other.caches, text.caches) {
      source.copy(0..<other.position, into: target, on: model.backend)
    }
    text.position = other.position
  }

  /// Ends `text`, which must not be read on.
  public func end(_ text: Text) { idle.append(text.caches) }

  /// Reads `pieces` of different texts, and calls `visit` with the logits `[V]` that were wanted:
  /// the index of the piece, that of the token that they follow, and the logits.
  public func read(
    _ pieces: [Piece], visit: (_ piece: Int, _ token: Int, Span<Float>) -> Void
  ) throws(GenerationError) {
    for piece in pieces { try check(piece) }
    let count = pieces.reduce(0) { $0 + $1.tokens.count }
    guard count > 0 else { return }
    guard count <= rowLimit else {
      throw GenerationError(
        .contextLength, "\(count) rows in a step: expected at most \(rowLimit)")
    }
    let wanted = enter(pieces, count: count)
    try model.finish()
    for start in stride(from: 0, to: wanted.count, by: logits.rows) {
      let part = wanted[start..<min(start + logits.rows, wanted.count)]
      try computeLogits(part.map(\.row))
      for (index, item) in part.enumerated() {
        logits[index..<index + 1].withFloats { visit(item.piece, item.token, $0) }
      }
    }
  }

  /// A row whose logits are wanted.
  private struct Wanted {
    let piece: Int
    let token: Int
    let row: Int
  }

  /// Runs all rows up to their residuals, and returns which of them want logits.
  private func enter(_ pieces: [Piece], count: Int) -> [Wanted] {
    let a = rows[0..<count]
    var wanted: [Wanted] = []
    var texts: [(rows: DecodeBuffers, caches: [KeyValueCache])] = []
    var row = 0
    for (index, piece) in pieces.enumerated() {
      entered.enter(piece.tokens, at: piece.text.position, firstRow: row)
      piece.text.position += piece.tokens.count
      texts.append((a[row..<row + piece.tokens.count], piece.text.caches))
      wanted += piece.logits.map { Wanted(piece: index, token: $0, row: row + $0) }
      row += piece.tokens.count
    }
    model.enqueue(entered, into: a, texts: texts)
    return wanted
  }

  /// Leaves the logits after the rows `indices` in `logits`.
  private func computeLogits(_ indices: [Int]) throws(GenerationError) {
    let backend = model.backend
    let gathered = gathered[0..<indices.count]
    for (target, row) in indices.enumerated() {
      backend.copy(rows.residual[row..<row + 1], into: gathered[target..<target + 1])
    }
    backend.fusedLinear(
      model.head, gathered, norm: model.norm, precision: model.precision,
      into: logits[0..<indices.count])
    try model.finish()
  }

  private func check(_ piece: Piece) throws(GenerationError) {
    try model.check(piece.tokens, at: piece.text.position, capacity: capacity)
    precondition(
      piece.logits.lowerBound >= 0 && piece.logits.upperBound <= piece.tokens.count,
      "logits after tokens \(piece.logits) of \(piece.tokens.count)")
  }
}
