import MGLUModel

/// Writing text: a GPU's whole step in one kernel, and steps that begin before the token is read.
extension Verification {
  /// Models of widths for which a device may have a step in one kernel, at positions that a block takes in
  /// several parts. The CPU's kernels know no such widths.
  func wideModels() throws -> [Finding] {
    guard !isHost else { return [] }
    let kinds: [FeedForwardUnitKind] =
      [.linear, .gated] + [1, 4, 11].map { .masked(.init(count: $0)) }
    let tokens = (0..<140).map { Int32($0 * 17 % 301) }
    var findings: [Finding] = []
    for type in [WeightType.float16, .bfloat16] {
      var found = InputPrecision.allCases.map {
        Finding("model, one kernel", on: set, weights: type, activations: $0)
      }
      for kind in kinds {
        let model = try Self.model(kind, isWide: true, on: backend.host)
        model.round(to: type)
        let expected = ReferenceModel(model).logits(tokens, length: tokens.count)
        for (index, precision) in InputPrecision.allCases.enumerated() {
          let model = try inference(model, as: type, precision)
          let bound = modelBound(type, precision)
          // Positions are split among four blocks at this capacity, more of them than a stage holds.
          try addCached(
            DecodingSession(model, capacity: tokens.count), tokens, expected, bound: bound,
            kind.label, to: &found[index])
          try addServed(model, tokens, expected, bound: bound, kind.label, to: &found[index])
        }
      }
      findings += found
    }
    return findings
  }

  /// The same as a server does: the rows of a step first, then the logits that are wanted of them.
  private func addServed(
    _ model: InferenceModel, _ tokens: [Int32], _ expected: ReferenceMatrix, bound: Double,
    _ label: String, to finding: inout Finding
  ) throws {
    let session = BatchedDecodingSession(
      model, rowLimit: tokens.count, capacity: tokens.count)
    let text = session.begin()
    var position = 0
    for count in [tokens.count - 3, 1, 1, 1] {
      let piece = BatchedDecodingSession.Piece(
        text, tokens[position..<position + count], logits: count - 1..<count)
      position += count
      try session.read([piece]) { _, _, logits in
        let found = ReferenceMatrix(
          rows: 1, columns: logits.count, elements: logits.indices.map { Double(logits[$0]) })
        finding.add(
          found, expected: expected.rows(position - 1..<position), bound: bound,
          "\(label), served, position \(position - 1)")
      }
    }
  }

  /// Tokens of steps that are under way before they are asked for, and of steps that are not: the
  /// same, also where something else is asked for than was announced.
  func writtenAhead() throws -> Finding {
    var finding = Finding("tokens, ahead", on: set, weights: .float16)
    for isWide in isHost ? [false] : [false, true] {
      for kind in [Self.units[0], Self.units[2], Self.units[3], Self.units[6]] {
        let model = try Self.model(kind, isWide: isWide, on: backend.host)
        let session = try DecodingSession(inference(model, as: .float16, .exact))
        session.isPipelined = true
        let plain = try Self.text(session, isAhead: false)
        let ahead = try Self.text(session, isAhead: true)
        finding.add(
          error: plain == ahead ? 0 : .infinity, bound: 1, "\(kind.label): \(ahead), not \(plain)")
      }
    }
    return finding
  }

  /// Twenty tokens after a prompt, which is read in parts where the context is long. The 7th is read
  /// as another, the 13th is chosen otherwise than was announced, at the 16th the text begins anew.
  private static func text(_ session: DecodingSession, isAhead: Bool) throws -> [Int32] {
    var random = Philox(seed: 17, purpose: .synthetic)
    let choices = (0...20).map { _ in
      SamplingStep(temperature: 1, topK: 0, topP: 1, minP: 0, uniform: random.nextUniform())
    }
    session.reset()
    var text: [Int32] = []
    let vocabulary = Int32(session.model.configuration.vocabularySize)
    var read = (0..<Int32(session.capacity - 30)).map { $0 * 17 % vocabulary }
    for index in 0..<20 {
      if index == 7 { read[0] = (read[0] + 1) % vocabulary }
      if index == 16 { session.reset() }
      let token = try session.append(
        read, choosing: index == 13 ? .greedy : choices[index],
        then: isAhead ? choices[index + 1] : nil)
      text.append(token)
      read = [token]
    }
    return text
  }
}
