/// The change of one token's logit before a token is sampled: with `y = x + bias`, the logit x becomes
/// `y / penalty` where y is positive and `y * penalty` elsewhere, less `subtracted`.
public struct LogitAdjustment: Sendable, Equatable {
  /// The token.
  public var token: Int32
  /// Added first; -infinity excludes the token.
  public var bias: Float
  /// More than 1 makes the token less probable, less than 1 more; greater than 0.
  public var penalty: Float
  /// Subtracted last.
  public var subtracted: Float

  /// Creates a change; by default of nothing.
  public init(token: Int32, bias: Float = 0, penalty: Float = 1, subtracted: Float = 0) {
    self.token = token
    self.bias = bias
    self.penalty = penalty
    self.subtracted = subtracted
  }

  /// How many words describe a change to a backend.
  public static let elementCount = 4

  /// The words that describe this change to a backend: the token, then the bits of the numbers.
  public var elements: [Int32] {
    [Int32](unsafeUninitializedCapacity: Self.elementCount) { words, count in
      if let start = words.baseAddress { write(to: start) }
      count = Self.elementCount
    }
  }

  /// Writes ``elements`` to `words`: every step does it for every change, so it allocates nothing.
  @inlinable
  package func write(to words: UnsafeMutablePointer<Int32>) {
    words[0] = token
    words[1] = Int32(bitPattern: bias.bitPattern)
    words[2] = Int32(bitPattern: penalty.bitPattern)
    words[3] = Int32(bitPattern: subtracted.bitPattern)
  }

  /// The change that `elements` describe.
  init(elements: UnsafePointer<Int32>) {
    func number(_ index: Int) -> Float { Float(bitPattern: UInt32(bitPattern: elements[index])) }
    self.init(token: elements[0], bias: number(1), penalty: number(2), subtracted: number(3))
  }

  /// What becomes of the logit `x`.
  public func applied(to x: Float) -> Float {
    let y = x + bias
    return (y > 0 ? y / penalty : y * penalty) - subtracted
  }
}
