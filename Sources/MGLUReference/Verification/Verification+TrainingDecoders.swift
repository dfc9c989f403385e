import MGLUModel

/// Gradients of whole decoders.
extension Verification {
  /// A unit of each kind. All routes of a router have a weight: where it chooses, a rounding may
  /// choose another.
  static let trainingUnitKinds: [FeedForwardUnitKind] = [
    .linear, .sharedGated, .gated, .masked(.init(count: 3)),
    .masked(.init(count: 2, kind: .fixed)), .masked(.init(count: 3, routerTopK: 3)),
  ]

  /// Losses, and the gradient of every parameter.
  ///
  /// Between the embedding and the loss of two layers some 20 results are rounded to BF16, and as many
  /// on the way back. Errors that are independent add up to sqrt(40) of a root mean square of
  /// 2^-8 / sqrt(3), 3.7 roundings, and the largest of many elements is about twice that: 8.
  package func trainingDecoders() -> [Finding] {
    var (losses, gradients) = (
      trainingFinding("decoder, losses"), trainingFinding("decoder, gradients")
    )
    for kind in Self.trainingUnitKinds {
      for ties in kind == .gated ? [true, false] : [true] {
        do {
          let name = kind.label + (ties ? "" : ", untied")
          let pass = try DecoderPass(kind, ties: ties, on: twins())
          let narrow = pass.twins.narrow != .float32
          losses.add(
            error: pass.lossError, bound: narrow ? 2 * Twins.rounding : Twins.exact, name)
          for (parameter, error) in pass.gradientErrors {
            gradients.add(
              error: error, bound: narrow ? 8 * Twins.rounding : 10 * Twins.exact,
              "\(name), \(parameter)")
          }
        } catch {
          gradients.add(error: .infinity, bound: 1, "\(kind.label): \(error)")
        }
      }
    }
    return [losses, gradients]
  }
}

/// One forward and backward pass of a small decoder of odd sizes, on a backend and on the CPU.
private struct DecoderPass {
  let twins: Twins
  /// Of the losses, relative to the largest.
  let lossError: Double
  /// Of the gradients, relative to the largest element of each.
  let gradientErrors: [(parameter: String, error: Double)]

  init(_ kind: FeedForwardUnitKind, ties: Bool, on twins: Twins) throws {
    self.twins = twins
    let shape = DecoderConfiguration(
      vocabularySize: 41, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 23, intermediateSize: 31, unit: kind), contextLength: 33,
      tiesEmbeddings: ties)
    let found = try Decoder(shape, on: twins.backend)
    let expected = try Decoder(shape, on: twins.host)
    expected.initialise(seed: 3)
    for (ours, theirs) in zip(found.namedParameters, expected.namedParameters) {
      // Norms and mask logits stay float32 on every device.
      let isProduct = theirs.tensor.shape.count == 2
      let rounded = twins.tensor(
        theirs.tensor.shape, isProduct ? twins.narrow : .float32, theirs.tensor.array
      ).expected.array
      ours.tensor.assign(rounded)
      theirs.tensor.assign(rounded)
    }
    found.upload()
    let (a, b) = (try Self.pass(found), try Self.pass(expected))
    lossError = Twins.error(a.losses, b.losses, floor: 1)
    gradientErrors = zip(a.gradients, b.gradients).map { ours, theirs in
      (ours.0, Twins.error(ours.1, theirs.1, floor: 1))
    }
  }

  private static func pass(
    _ decoder: Decoder
  ) throws -> (losses: [Float], gradients: [(String, [Float])]) {
    let (sequences, length) = (3, 33)
    let rows = sequences * length
    let backend = decoder.backend
    let activations = decoder.makeActivations(
      sequences: sequences, length: length, purpose: .training)
    for row in 0..<rows {
      activations.tokens.integers[row] = Int32(row * 17 % 41)
      activations.targets.integers[row] = row % 11 == 5 ? -1 : Int32((row * row + 3) % 41)
    }
    let count = decoder.trainedByteCount / 4
    let gradients = Gradients(arena: backend.allocate { _ = $0.tensor([count]) }.arena)
    decoder.lossAndGradients(activations, into: gradients, scale: 1 / Float(rows))
    let host = Gradients(arena: backend.onHost(gradients.arena.floats).arena)
    try backend.finish()
    return (
      activations.losses.array,
      decoder.trainedParameters.map { ($0.name, host[$0.tensor].array) }
    )
  }
}
