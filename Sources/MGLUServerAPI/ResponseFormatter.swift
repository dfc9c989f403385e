/// Writes deltas as JSON, in the format of completions or of chats.
protocol ResponseFormatter: Sendable {
  /// The text that comes before the generated text of the choice `index`: the echoed prompt.
  func prefix(_ index: Int) -> String
  /// A chunk to send before the first delta of the choice `index`, if the format has one.
  mutating func opening(_ index: Int, _ head: ResponseHead) -> String?
  /// A chunk with a delta.
  mutating func chunk(_ delta: ResponseDelta, _ head: ResponseHead) -> String
  /// The last chunk, which has the usage and no delta.
  func closing(_ usage: Usage, _ head: ResponseHead) -> String
  /// The whole response, with a delta for each choice.
  mutating func document(_ deltas: [ResponseDelta], _ usage: Usage, _ head: ResponseHead) -> String
}
