import MGLUModel

/// Generation: a GPU's whole step in one kernel, and sequences side by side with steps that begin
/// before the host has read the tokens.
extension Verification {
  /// Models of widths for which a GPU has a step in one kernel, at positions that a block takes in
  /// several parts. The CPU's kernels know no such widths.
  func wideModels() throws -> [Finding] {
    guard !isHost else { return [] }
    let kinds: [FeedForwardUnitKind] =
      [.lu, .glu] + [1, 4, 11].map { .mglu(.init(count: $0)) }
    let tokens = (0..<140).map { Int32($0 * 17 % 301) }
    var findings: [Finding] = []
    for type in [WeightType.float16, .bfloat16] {
      var found = InputPrecision.allCases.map {
        Finding("model, one kernel", on: set, weights: type, activations: $0)
      }
      for (kind, widths) in kinds.flatMap({ [($0, ModelWidths.whole), ($0, .parts)] }) {
        let model = try Self.model(kind, widths: widths, on: backend.host)
        model.round(to: type)
        let expected = ReferenceModel(model).logits(tokens, length: tokens.count)
        for (index, precision) in InputPrecision.allCases.enumerated() {
          let model = try inference(model, as: type, precision)
          let bound = modelBound(type, precision)
          // Positions are split among four blocks at this capacity, more of them than a stage holds.
          try addCached(
            InferenceSession(model, contextLength: tokens.count), tokens, expected, bound: bound,
            "\(kind.label), \(widths)", to: &found[index])
        }
      }
      findings += found
    }
    return findings
  }

  /// Sequences side by side, with the host one step behind, against each alone without: the same
  /// tokens. They begin one after the other, and two share a prompt.
  func sequencesInCompany() throws -> Finding {
    var finding = Finding("sequences, in company", on: set, weights: .float16)
    for widths in isHost ? [.narrow] : ModelWidths.allCases {
      for kind in [Self.units[0], Self.units[2], Self.units[3], Self.units[6]] {
        let trained = try Self.model(kind, widths: widths, on: backend.host)
        let model = try inference(trained, as: .float16, .exact)
        let requests = Self.requests(context: trained.configuration.contextLength)
        let session = InferenceSession(model, maxSequences: requests.count)
        session.isPipelined = true
        let together = try Self.generate(requests, in: session)
        for (index, request) in requests.enumerated() {
          let alone = InferenceSession(model)
          alone.isPipelined = false
          let expected = try Self.generate([request], in: alone)[0]
          let found = together[index]
          finding.add(
            error: found == expected ? 0 : .infinity, bound: 1,
            "\(kind.label), sequence \(index): \(found), not \(expected)")
        }
      }
    }
    return finding
  }

  private static func requests(context: Int) -> [GenerationRequest] {
    [1, context - 30, context / 2, context / 2, 5].enumerated().map { index, count in
      var request = GenerationRequest(
        prompt: (0..<Int32(count)).map { ($0 * 17 + Int32(count)) % 41 }, maxTokens: 8 + index,
        sampling: .init(temperature: index % 2 == 0 ? 1 : 0, seed: UInt64(index)), ignoresEOS: true
      )
      // The logits of one of two with the same prompt are changed before its tokens are sampled.
      if index == 3 { request.sampling.repetitionPenalty = 1.5 }
      return request
    }
  }

  /// The tokens of each request; each begins a step after the one before it, but the fourth together
  /// with the third.
  private static func generate(
    _ requests: [GenerationRequest], in session: InferenceSession
  ) throws -> [[Int32]] {
    var tokens = requests.map { _ in [Int32]() }
    var ids: [SequenceID] = []
    while ids.count < requests.count || !session.isIdle {
      if ids.count < requests.count { ids.append(try session.insert(requests[ids.count])) }
      if ids.count == 3, requests.count > 3 { ids.append(try session.insert(requests[3])) }
      for output in try session.next() {
        guard let index = ids.firstIndex(of: output.id), let token = output.token else { continue }
        tokens[index].append(token)
      }
    }
    return tokens
  }
}
