import MGLUModel
import Testing

/// Steps that begin before the token is returned that they read, and steps that do not. The judge is
/// the same choice from the logits of a session that never works ahead.
@Suite struct DecodingSessionTests {
  static let choices = {
    var random = Philox(seed: 17, purpose: .synthetic)
    return (0...30).map { _ in
      SamplingStep(temperature: 2, topK: 0, topP: 1, minP: 0, uniform: random.nextUniform())
    }
  }()

  static func session(isPipelined: Bool) throws -> DecodingSession {
    let session = DecodingSession(try InferenceModel(TokenGeneratorTests.model()))
    session.isPipelined = isPipelined
    return session
  }

  /// The 5th token is read as another, the 9th is chosen otherwise than was announced, at the 12th the
  /// text begins anew, before the 15th logits are asked for.
  @Test(arguments: [false, true])
  func tokensAreThoseOfTheLogits(isPipelined: Bool) throws {
    let (session, judge) = (
      try Self.session(isPipelined: isPipelined), try Self.session(isPipelined: false)
    )
    var chooser = HostSampler()
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
      let choice = index == 9 ? SamplingStep.greedy : Self.choices[index]
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
  func longPromptsAreReadInParts(isPipelined: Bool) throws {
    let model = try InferenceModel(TokenGeneratorTests.model(context: 600))
    let (session, judge) = (DecodingSession(model), DecodingSession(model))
    session.isPipelined = isPipelined
    var chooser = HostSampler()
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
    let session = try Self.session(isPipelined: true)
    var token: Int32 = 1
    for _ in 0..<24 {
      token = try session.append([token], choosing: .greedy, then: .greedy)
    }
    #expect(session.position == 24)
    let error = #expect(throws: GenerationError.self) {
      try session.append([token], choosing: .greedy, then: .greedy)
    }
    #expect(error?.code == .contextLength)
  }

  /// Logits that are no numbers are told by the step that has them, and a session can be used again.
  @Test func damagedWeightsAreToldAndNothingRemains() throws {
    let model = try TokenGeneratorTests.model()
    let session = DecodingSession(try InferenceModel(model))
    session.isPipelined = true
    let first = try session.append([5], choosing: .greedy, then: .greedy)
    let norm = model.weights.norm.array
    model.weights.norm.assign([Float](repeating: .nan, count: norm.count))
    let error = #expect(throws: GenerationError.self) {
      for _ in 0..<2 {
        _ = try session.append([6], choosing: .greedy, then: .greedy)
      }
    }
    #expect(error?.code == .notFinite)
    model.weights.norm.assign(norm)
    session.reset()
    #expect(try session.append([5], choosing: .greedy, then: .greedy) == first)
  }
}
