/// Fills batches with windows of a token sequence: `length` tokens and the one that follows each.
struct BatchSampler {
  let tokens: TokenSequence
  let length: Int
  let vocabularySize: Int

  init(
    _ tokens: TokenSequence, length: Int, vocabularySize: Int, name: String
  ) throws(DataError) {
    guard tokens.count > 1 else {
      throw DataError(
        .tooShort, "the \(name) data has \(tokens.count) tokens: expected at least 2",
        remedy: "use more text")
    }
    self.tokens = tokens
    self.length = length
    self.vocabularySize = vocabularySize
  }

  /// Throws unless there is at least one whole window to draw.
  func requireWholeWindow() throws(DataError) {
    guard tokens.count > length else {
      throw DataError(
        .tooShort,
        "the training data has \(tokens.count) tokens: a context of \(length) needs at "
          + "least \(length + 1)", remedy: "use more text or a shorter context")
    }
  }

  /// Fills `batch` with windows at random places: a pure function of seed, step and `part`, the
  /// micro-batch within the step. There must be a whole window.
  func draw(
    seed: UInt64, step: Int, part: Int, into batch: TokenBatch
  ) throws(DataError) {
    var random = Philox(seed: seed, purpose: .data, step: UInt64(step))
    let places = UInt64(tokens.count - length)
    for _ in 0..<part * batch.sequences { _ = random.next() }
    let starts = (0..<batch.sequences).map { _ in
      // The bias of a multiplied 64-bit word is below 2^-64 times the number of places.
      Int(random.next().multipliedFullWidth(by: places).high)
    }
    try fill(batch, starts: starts)
  }

  /// The number of consecutive windows that predict every token but the first.
  var consecutiveCount: Int { (tokens.count - 1 + length - 1) / length }

  /// The tokens of consecutive window `index`, and the one that follows the last of them.
  func window(_ index: Int) throws(DataError) -> [Int32] { try window(from: index * length) }

  /// Fills `batch` with consecutive windows from window `first` on; where there are no more, and
  /// after the end of the last, there are no targets.
  func consecutive(from first: Int, into batch: TokenBatch) throws(DataError) {
    try fill(batch, starts: (0..<batch.sequences).map { (first + $0) * length })
  }

  private func fill(_ batch: TokenBatch, starts: [Int]) throws(DataError) {
    var inputs: [Int32] = []
    var targets: [Int32] = []
    for start in starts {
      let ids = try window(from: start)
      let count = max(ids.count - 1, 0)
      inputs += ids.prefix(count)
      targets += ids.dropFirst()
      inputs += repeatElement(0, count: length - count)
      targets += repeatElement(-1, count: length - count)
    }
    batch.tokens.assign(integers: inputs)
    batch.targets.assign(integers: targets)
  }

  /// Tokens from `start` on, one more than a window has; fewer at the end of the data.
  private func window(from start: Int) throws(DataError) -> [Int32] {
    let range = min(start, tokens.count)..<min(start + length + 1, tokens.count)
    return try tokens.ids(range, vocabularySize: vocabularySize)
  }
}
