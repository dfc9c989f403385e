import MGLUModel
import Testing

/// Steps that begin before the token is returned that they read, and steps that do not. The judge is
/// the same choice from the logits of a session that never works ahead.
@Suite struct DecodingSessionTests {
  static let choices = {
    var random = Philox(seed: 17, purpose: .synthetic)
    return (0...30).map { _ in
      TokenChoice(temperature: 2, topK: 0, topP: 1, minP: 0, uniform: random.nextUniform())
    }
  }()

  static func session(worksAhead: Bool) throws -> DecodingSession {
    let session = DecodingSession(try InferenceDecoder(TokenGeneratorTests.decoder()))
    session.worksAhead = worksAhead
    return session
  }

  /// The 5th token is read as another, the 9th is chosen otherwise than was announced, at the 12th the
  /// text begins anew, before the 15th logits are asked for.
  @Test(arguments: [false, true])
  func tokensAreThoseOfTheLogits(worksAhead: Bool) throws {
    let (session, judge) = (
      try Self.session(worksAhead: worksAhead), try Self.session(worksAhead: false)
    )
    var chooser = TokenChooser()
    var read: [Int32] = [7, 8, 9]
    var position = 0
    for index in 0..<20 {
      if index == 5 { read[0] = (read[0] + 1) % 257 }
      if index == 12 {
        for session in [session, judge] { session.reset() }
        position = 0
      }
      if index == 15 {
        for session in [session, judge] { _ = try session.append([3]) }
        position += 1
      }
      let choice = index == 9 ? TokenChoice.likeliest : Self.choices[index]
      let expected = try judge.append(read).withFloats { chooser.token(of: $0, by: choice) }
      let token = try session.append(read, choosing: choice, then: Self.choices[index + 1])
      #expect(token == expected, "token \(index)")
      position += read.count
      #expect(session.position == position)
      read = [token]
    }
  }

  /// A prompt that is read in parts, with a step under way after the last of them.
  @Test(arguments: [false, true])
  func longPromptsAreReadInParts(worksAhead: Bool) throws {
    let decoder = try InferenceDecoder(TokenGeneratorTests.decoder(context: 600))
    let (session, judge) = (DecodingSession(decoder), DecodingSession(decoder))
    session.worksAhead = worksAhead
    var chooser = TokenChooser()
    var read = (0..<540).map { Int32($0 * 17 % 257) }
    for index in 0..<5 {
      let choice = Self.choices[index]
      let expected = try judge.append(read).withFloats { chooser.token(of: $0, by: choice) }
      #expect(try session.append(read, choosing: choice, then: Self.choices[index + 1]) == expected)
      read = [expected]
    }
    #expect(session.position == 544)
  }

  /// The last token that fits is read, and no step begins that does not fit.
  @Test func aFullCacheIsNotOverrun() throws {
    let session = try Self.session(worksAhead: true)
    var token: Int32 = 1
    for _ in 0..<24 {
      token = try session.append([token], choosing: .likeliest, then: .likeliest)
    }
    #expect(session.position == 24)
    let error = #expect(throws: GenerationError.self) {
      try session.append([token], choosing: .likeliest, then: .likeliest)
    }
    #expect(error?.code == .contextLength)
  }

  /// Logits that are no numbers are told by the step that has them, and a session can be used again.
  @Test func damagedWeightsAreToldAndNothingRemains() throws {
    let decoder = try TokenGeneratorTests.decoder()
    let session = DecodingSession(try InferenceDecoder(decoder))
    session.worksAhead = true
    let first = try session.append([5], choosing: .likeliest, then: .likeliest)
    let norm = decoder.weights.norm.array
    decoder.weights.norm.assign([Float](repeating: .nan, count: norm.count))
    let error = #expect(throws: GenerationError.self) {
      for _ in 0..<2 {
        _ = try session.append([6], choosing: .likeliest, then: .likeliest)
      }
    }
    #expect(error?.code == .notFinite)
    decoder.weights.norm.assign(norm)
    session.reset()
    #expect(try session.append([5], choosing: .likeliest, then: .likeliest) == first)
  }
}
