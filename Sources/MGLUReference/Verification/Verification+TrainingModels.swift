import MGLUModel

/// Gradients of whole models.
extension Verification {
  /// A unit of each kind. All routes of a router have a weight: where it chooses, a rounding may
  /// choose another.
  static let trainingUnitKinds: [FeedForwardUnitKind] = [
    .lu, .sharedGLU, .glu, .mglu(.init(count: 3)),
    .mglu(.init(count: 2, kind: .fixed)), .mglu(.init(count: 3, routerTopK: 3)),
  ]

  /// Losses, and the gradient of every parameter.
  ///
  /// Between the embedding and the loss of two layers some 20 results are rounded to BF16, and as many
  /// on the way back. Errors that are independent add up to sqrt(40) of a root mean square of
  /// 2^-8 / sqrt(3), 3.7 roundings, and the largest of many elements is about twice that: 8.
  ///
  /// The gradients of a key add up to 0 over the keys of each query, because softmax does not see a
  /// common shift. The weight of the keys' norm sums them over all heads and positions: most of it
  /// cancels, its roundings do not. Measured on an H100: 10 roundings; 16 are allowed.
  package func trainingModels() -> [Finding] {
    var (losses, gradients) = (
      trainingFinding("model, losses"), trainingFinding("model, gradients")
    )
    for kind in Self.trainingUnitKinds {
      for variant in kind == .glu ? AttentionVariant.allCases : [.plain] {
        do {
          let ties = variant != .qkNorm
          let name = kind.label + (ties ? "" : ", untied") + variant.label
          let pass = try ModelPass(kind, variant, ties: ties, on: twins())
          let narrow = pass.twins.narrow != .float32
          losses.add(
            error: pass.lossError,
            bound: narrow ? 2 * BackendComparison.rounding : BackendComparison.exact, name)
          for (parameter, error) in pass.gradientErrors {
            gradients.add(
              error: error,
              bound: narrow
                ? (parameter.hasSuffix("k_norm.weight") ? 16 : 8) * BackendComparison.rounding
                : 10 * BackendComparison.exact,
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

/// One forward and backward pass of a small model of odd sizes, on a backend and on the CPU.
private struct ModelPass {
  let twins: BackendComparison
  /// Of the losses, relative to the largest.
  let lossError: Double
  /// Of the gradients, relative to the largest element of each; of a key's bias, most of which cancels as
  /// softmax does not see a common shift, to that of the query's.
  let gradientErrors: [(parameter: String, error: Double)]

  init(
    _ kind: FeedForwardUnitKind, _ variant: AttentionVariant, ties: Bool,
    on twins: BackendComparison
  ) throws {
    self.twins = twins
    var shape = ModelConfiguration(
      vocabularySize: 41, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 23, intermediateSize: 31, unit: kind), contextLength: 33,
      tiesEmbeddings: ties)
    variant.apply(to: &shape)
    let found = try LanguageModel(shape, on: twins.backend)
    let expected = try LanguageModel(shape, on: twins.host)
    expected.initialize(seed: 3)
    if variant != .qkNorm { expected.spreadVectors() }
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
    lossError = BackendComparison.error(a.losses, b.losses, floor: 1)
    let expectedGradients = Dictionary(uniqueKeysWithValues: b.gradients)
    gradientErrors = a.gradients.map { name, found in
      let own = expectedGradients[name] ?? []
      let scale =
        name.hasSuffix("k_proj.bias")
        ? expectedGradients[name.replacing("k_proj", with: "q_proj")] ?? [] : []
      return (name, BackendComparison.error(found + scale, own + scale, floor: 1))
    }
  }

  private static func pass(
    _ model: LanguageModel
  ) throws -> (losses: [Float], gradients: [(String, [Float])]) {
    let (sequences, length) = (3, 33)
    let rows = sequences * length
    let backend = model.backend
    let activations = model.makeActivations(
      sequences: sequences, length: length, purpose: .training)
    for row in 0..<rows {
      activations.tokens.integers[row] = Int32(row * 17 % 41)
      activations.targets.integers[row] = row % 11 == 5 ? -1 : Int32((row * row + 3) % 41)
    }
    let count = model.trainedByteCount / 4
    let gradients = Gradients(arena: backend.allocate { $0.tensor([count]) }.arena)
    model.lossAndGradients(activations, into: gradients, scale: 1 / Float(rows))
    let host = Gradients(arena: backend.onHost(gradients.arena.floats).arena)
    try backend.finish()
    return (
      activations.losses.array,
      model.trainedParameters.map { ($0.name, host[$0.tensor].array) }
    )
  }
}
