/// Cuts text into words, within which byte pairs merge.
public enum PreTokenizer: Sendable, Equatable, CaseIterable {
  /// GPT-2's pattern:
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  case gpt2
  /// The same after every digit has been cut off as a word of its own: SmolLM, StarCoder.
  case gpt2SingleDigits
  /// Llama 3's pattern, with numbers of up to three digits.
  case llama3
  /// The same pattern with single digits: Qwen 2 and 3.
  case qwen2

  /// Calls `body` with the range of each word of valid UTF-8, in order and without gaps. Linear.
  func forEachWord(_ bytes: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    var scanner = WordScanner(bytes: bytes)
    while scanner.position < bytes.count {
      let start = scanner.position
      switch self {
      case .gpt2: scanner.skipGPT2Word()
      case .gpt2SingleDigits: scanner.skipGPT2WordOrDigit()
      case .llama3: scanner.skipLlama3Word(digits: 3)
      case .qwen2: scanner.skipLlama3Word(digits: 1)
      }
      body(start..<scanner.position)
    }
  }
}
