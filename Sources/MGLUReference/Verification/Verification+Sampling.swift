import MGLUModel
import RealModule

/// Routing and sampling.
extension Verification {
  /// Softmax over the largest, ties included: sums of a few float32 numbers, 1e-6.
  package func routes() throws(BackendError) -> Finding {
    var finding = Finding("routes", on: set)
    for count in [1, 2, 3, 8, 16] {
      for topK in Set([1, 2, count - 1, count]) where (1...count).contains(topK) {
        var random = Philox(seed: UInt64(count), purpose: .synthetic)
        var logits = ReferenceMatrix.normal(rows: 37, columns: count, using: &random)
        // Every third row has two equal logits, every fifth only equal ones.
        for row in 0..<37 {
          if row % 3 == 0 { logits[row, count - 1] = logits[row, 0] }
          if row % 5 == 0 { for column in 0..<count { logits[row, column] = 0.5 } }
        }
        let router = ReferenceRouter(
          weight: ReferenceMatrix(rows: count, columns: 1), topK: topK)
        let routes = backend.allocateShared { $0.tensor([37, count]) }
        backend.route(backend.toDevice(hostTensor(logits)), topK: topK, into: routes)
        try backend.finish()
        finding.add(
          ReferenceMatrix(routes), expected: router.routes(ofLogits: logits), bound: 1e-6,
          "top \(topK) of \(count)")
      }
    }
    return finding
  }

  /// The largest logit, wherever it lies, however many are equal or no numbers: what the host samples.
  /// Of nothing but no numbers, -1.
  package func largestTokens() throws(BackendError) -> Finding {
    var finding = Finding("tokens, largest", on: set)
    for count in [1, 31, 512, 4099, 128_256] {
      let none = try tokens(of: [Float](repeating: .nan, count: count), by: Self.greedyAndDrawn)
      finding.add(
        error: none == [-1, -1] ? 0 : .infinity, bound: 1, "no number of \(count): \(none)")
      for place in Set([0, count / 3, count - 1]) {
        var random = Philox(seed: 11, purpose: .synthetic)
        var logits = (0..<count).map { _ in random.nextNormal() }
        logits[place] = 9
        var ties = logits
        for index in place..<count where index % 3 == place % 3 { ties[index] = 9 }
        var gaps = logits
        for index in 0..<count where index % 2 != place % 2 { gaps[index] = .nan }
        let zeros = (0..<count).map { $0 < place ? -1 : $0 == place ? -Float.zero : 0 }
        let low = (0..<count).map { $0 == place ? -1e30 : -Float.infinity }
        for (name, logits) in [
          ("one", logits), ("ties", ties), ("NaN", gaps), ("zeros", zeros), ("low", low),
        ] {
          let step = Self.greedyAndDrawn[0]
          var sampler = HostSampler()
          let expected = sampler.token(of: logits.span, by: step)
          let found = try tokens(of: logits, by: [step])[0]
          finding.add(
            error: found == expected && Int(expected) == place ? 0 : .infinity, bound: 1,
            "\(name) of \(count) at \(place): \(found)")
        }
      }
    }
    return finding
  }

  /// Draws at evenly spaced places: never a token that is not kept, and every kept one as often as its
  /// probability says, to within the one draw that evenness leaves open (and rounding: 1 %).
  package func drawnTokens() throws(BackendError) -> Finding {
    var finding = Finding("tokens, drawn", on: set)
    let draws = 997
    for (count, spread) in [(5, Float(1)), (300, 2), (4099, 3)] {
      var random = Philox(seed: 13, purpose: .synthetic)
      var logits = (0..<count).map { _ in spread * random.nextNormal() }
      logits[count / 2] = .nan
      for (temperature, topK, topP, minP) in [
        (1, 0, 1, 0), (0.5, 0, 1, 0), (1, 3, 1, 0), (1, 40, 1, 0), (1.5, 0, 0.8, 0),
        (1, 4, 0.7, 0), (1, 0, 1, 0.05), (0.7, 50, 0.95, 0.02), (1, 1, 1, 0), (1, 0, 1e-6, 0),
      ] as [(Float, Int, Float, Float)] {
        var step = SamplingStep(
          temperature: temperature, topK: topK, topP: topP, minP: minP, uniform: 0)
        let expected = Self.shares(of: logits, by: step)
        let steps = (0..<draws).map { index in
          step.uniform = (Float(index) + 0.5) / Float(draws)
          return step
        }
        var counts = [Double](repeating: 0, count: count)
        for token in try tokens(of: logits, by: steps) { counts[Int(token)] += 1 }
        let error = zip(counts, expected).map { found, share in
          share == 0 && found > 0 ? .infinity : abs(found - share * Double(draws))
        }.max()
        finding.add(
          error: error ?? .infinity, bound: 1.01,
          "\(count) tokens, \(temperature), top \(topK), \(topP), \(minP)")
      }
    }
    return finding
  }

  /// Biases, penalties and exclusions of some tokens of each row, and nothing else: one addition, one
  /// multiplication or division and one subtraction in float32.
  package func adjustedLogits() throws(BackendError) -> Finding {
    var finding = Finding("logits, adjusted", on: set)
    for count in [1, 7, 512, 4099, 50_257] {
      var random = Philox(seed: 17, purpose: .synthetic)
      let columns = (count + 3) / 4 * 4
      let rows = 3
      let source = (0..<rows * columns).map { _ in 3 * random.nextNormal() }
      // No change in the first row; some in the second; of every third token in the last.
      let changes: [[LogitAdjustment]] = [
        [],
        Set([0, count / 2, count - 1]).map {
          .init(token: Int32($0), bias: 1.5, penalty: 1.3, subtracted: 0.7)
        },
        stride(from: 0, to: count, by: 3).map {
          .init(
            token: Int32($0), bias: $0 % 2 == 0 ? -.infinity : random.nextNormal(), penalty: 0.8,
            subtracted: -random.nextUniform())
        },
      ]
      let logits = backend.host.allocate { $0.tensor([rows, columns]) }
      logits.assign(source)
      let words = changes.joined().flatMap(\.elements)
      let (adjustments, starts, result) = backend.allocateShared { layout in
        (
          layout.tensor([words.count / LogitAdjustment.elementCount, 4], .int32),
          layout.tensor([rows + 1], .int32), layout.tensor([rows, columns])
        )
      }
      adjustments.assign(integers: words)
      starts.assign(
        integers: (0...rows).map { row in Int32(changes.prefix(row).reduce(0) { $0 + $1.count }) })
      backend.adjust(
        backend.toDevice(logits), vocabulary: count, by: adjustments, starts: starts, into: result)
      try backend.finish()
      let found = result.array
      for row in 0..<rows {
        var expected = (0..<count).map { Double(source[row * columns + $0]) }
        for change in changes[row] {
          let y = expected[Int(change.token)] + Double(change.bias)
          let penalty = Double(change.penalty)
          expected[Int(change.token)] =
            (y > 0 ? y / penalty : y * penalty) - Double(change.subtracted)
        }
        let error = (0..<count).map { index in
          let (own, wanted) = (Double(found[row * columns + index]), expected[index])
          return own == wanted ? 0 : abs(own - wanted) / max(1, abs(wanted))
        }.max()
        finding.add(error: error ?? .infinity, bound: 1e-6, "row \(row) of \(count) logits")
      }
    }
    return finding
  }

  /// Log-probabilities against float64, and the most probable tokens: ties, logits that are no numbers, and
  /// more tokens asked for than there are. Errors are absolute, as probabilities are compared: 2e-6, of
  /// which exponentials of 2 ulp are the half, and an ulp of the largest number met.
  package func logprobs() throws(BackendError) -> Finding {
    var finding = Finding("log-probabilities", on: set)
    for (count, top) in [(1, 1), (7, 9), (512, 3), (4099, 20), (128_256, 5)] {
      var random = Philox(seed: 19, purpose: .synthetic)
      let columns = (count + 4) / 4 * 4
      let rows = 4
      // What lies beyond the vocabulary is larger than every logit, and must not be looked at.
      var source = (0..<rows * columns).map { index in
        index % columns < count ? 4 * random.nextNormal() : 1e30
      }
      for index in 0..<count where index % 3 == 1 {
        (source[columns + index], source[2 * columns + index]) = (.nan, 9)
      }
      for index in 0..<count { source[3 * columns + index] = .nan }
      let logits = backend.host.allocate { $0.tensor([rows, columns]) }
      logits.assign(source)
      let (targets, logprobs, largest) = backend.allocateShared { layout in
        (
          layout.tensor([rows], .int32), layout.tensor([rows, 1 + top]),
          layout.tensor([rows, top], .int32)
        )
      }
      targets.assign(integers: (0..<rows).map { Int32(($0 + 1) * count / (rows + 1)) })
      backend.logprobs(
        backend.toDevice(logits), vocabulary: count, of: targets, into: logprobs, largest: largest)
      try backend.finish()
      for row in 0..<rows {
        let values = source[row * columns..<row * columns + count].map(Double.init)
        let order = values.indices.filter { !values[$0].isNaN }
          .sorted { (-values[$0], $0) < (-values[$1], $1) }
        let shift = order.first.map { values[$0] } ?? 0
        let sum = order.reduce(0) { $0 + .exp(values[$1] - shift) }
        let normalizer = shift + .log(sum)
        let target = Int(targets.integers[row])
        let tokens = [target] + (0..<top).map { $0 < order.count ? order[$0] : -1 }
        for (index, token) in tokens.enumerated() {
          let own = Double(logprobs.floats[row * (1 + top) + index])
          let found = index == 0 ? target : Int(largest.integers[row * top + index - 1])
          let wanted = token >= 0 && !order.isEmpty ? values[token] - normalizer : .nan
          let isRight = found == token && own.isNaN == wanted.isNaN
          let magnitude = wanted.isNaN ? 0 : Float(max(abs(normalizer), abs(wanted)))
          finding.add(
            error: !isRight ? .infinity : wanted.isNaN ? 0 : abs(own - wanted),
            bound: 2e-6 + 2 * Double(magnitude.ulp),
            "row \(row) of \(count) logits, number \(index): \(found)")
        }
      }
    }
    return finding
  }

  private static let greedyAndDrawn = [0, 1].map {
    SamplingStep(temperature: $0, topK: 0, topP: 1, minP: 0, uniform: 0.5)
  }

  /// What the backend samples from `logits`, step by step, several rows at a time. What lies beyond
  /// the vocabulary is larger than every logit, and must not be looked at.
  private func tokens(
    of logits: [Float], by steps: [SamplingStep]
  ) throws(BackendError) -> [Int32] {
    let alignment = logitsAlignment / DataType.float32.byteCount
    let columns = (logits.count / alignment + 1) * alignment
    let rows = min(steps.count, 29)
    let source = backend.host.allocate { $0.tensor([rows, columns]) }
    let padding = [Float](repeating: 1e30, count: columns - logits.count)
    source.assign([Float]((0..<rows).map { _ in logits + padding }.joined()))
    let device = backend.toDevice(source)
    let (elements, tokens) = backend.allocateShared { layout in
      (layout.tensor([rows, SamplingStep.elementCount]), layout.tensor([rows], .int32))
    }
    var result: [Int32] = []
    for start in stride(from: 0, to: steps.count, by: rows) {
      let part = steps[start..<min(start + rows, steps.count)]
      elements[0..<part.count].assign([Float](part.map(\.elements).joined()))
      backend.sample(
        device[0..<part.count], vocabulary: logits.count, by: elements[0..<part.count],
        into: tokens[0..<part.count], preparing: nil)
      try backend.finish()
      result += (0..<part.count).map { tokens.integers[$0] }
    }
    return result
  }

  /// The probability of each token, 0 of what is not kept, in float64.
  private static func shares(of logits: [Float], by step: SamplingStep) -> [Double] {
    let numbers = logits.indices.filter { !logits[$0].isNaN }
    let top = numbers.map { Double(logits[$0]) }.max() ?? 0
    func mass(_ index: Int) -> Double {
      .exp((Double(logits[index]) - top) / Double(step.temperature))
    }
    var kept = numbers.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
    if step.topK > 0 { kept = Array(kept.prefix(step.topK)) }
    let total = kept.reduce(0) { $0 + mass($1) }
    var sum = 0.0
    kept = Array(
      kept.prefix { index in
        defer { sum += mass(index) }
        return step.topP >= 1 || sum < Double(step.topP) * total
      })
    kept.removeAll { mass($0) < Double(step.minP) }
    let left = kept.reduce(0) { $0 + mass($1) }
    var shares = [Double](repeating: 0, count: logits.count)
    for index in kept { shares[index] = mass(index) / left }
    return shares
  }
}
