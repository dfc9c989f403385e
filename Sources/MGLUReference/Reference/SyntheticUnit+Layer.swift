import MGLUModel

extension SyntheticUnit {
  /// The parameters of a float32 layer.
  private struct Parameters {
    let unit: any FeedForwardUnit
    let weight: Tensor
    let maskLogits: Tensor?
    let router: Tensor?

    init(_ configuration: FeedForwardConfiguration, in layout: inout ArenaLayout) {
      let parameters = configuration.parameters()
      let rows = parameters.up.count * configuration.intermediateSize
      weight = layout.tensor([rows, configuration.hiddenSize])
      maskLogits = parameters.maskLogits.map { layout.tensor($0.shape) }
      router = parameters.router.map { layout.tensor($0.shape) }
      unit = configuration.unit(weight: weight, maskLogits: maskLogits, router: router)
    }
  }

  /// What the float32 layer makes of it on `backend`: a forward pass and a backward pass, whose
  /// gradients start from `initialGradient` in every parameter.
  package func results(
    on backend: any TrainingBackend, initialGradient: Float = 0
  ) -> Results {
    let configuration = configuration
    let rows = input.rows
    let parameters = backend.allocate { Parameters(configuration, in: &$0) }
    parameters.weight.assign(weight.floats)
    parameters.maskLogits?.assign(maskLogits.floats)
    if let router { parameters.router?.assign(router.floats) }
    let arena = parameters.weight.arena
    let all = backend.allocate { $0.tensor([arena.byteCount / 4]) }
    let gradients = Gradients(arena: all.arena)
    all.assign(repeatElement(initialGradient, count: all.count))

    let (saved, scratch, x, upstream, dX) = backend.allocate { layout in
      (
        FeedForwardActivations(configuration, rows: rows, in: &layout),
        StackScratch(configuration, in: &layout),
        layout.tensor([rows, configuration.hiddenSize]),
        layout.tensor([rows, configuration.intermediateSize]),
        layout.tensor([rows, configuration.hiddenSize])
      )
    }
    x.assign(input.floats)
    upstream.assign(self.upstream.floats)
    parameters.unit.forward(x, saving: saved, scratch: scratch, on: backend)
    backend.synchronize()
    let output = ReferenceMatrix(saved.output)
    parameters.unit.backward(
      upstream, x: x, saved: saved, xGradient: dX, gradients: gradients, scratch: scratch,
      on: backend)
    backend.synchronize()
    return Results(
      output: output, input: ReferenceMatrix(dX),
      weight: ReferenceMatrix(gradients[parameters.weight]),
      maskLogits: parameters.maskLogits.map { ReferenceMatrix(gradients[$0]) } ?? maskLogits,
      router: parameters.router.map { ReferenceMatrix(gradients[$0]) })
  }
}
