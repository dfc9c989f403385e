import MGLUModel

/// The masked unit and the down projection of one block while they are fitted: parameters of their
/// own, tuned with AdamW to the output of the block that they take the place of.
///
/// The loss is the mean over the rows of |a downᵀ - target|² / (mean of the residual's squares): what
/// the next block, which normalizes its input, sees of the error. Masks stay as they are.
struct BlockTuning {
  private let backend: any TrainingBackend
  private let unit: any FeedForwardUnit
  /// W, and the down projection `[h, d]`, float32.
  private let weight: Tensor
  private let down: Tensor
  private let maskLogits: Tensor
  /// What products read of the down projection.
  private let downCopy: Tensor
  private let gradients: Gradients
  private let moments: (first: Arena, second: Arena)
  private let squaredNorm: Tensor
  /// The root mean squares of W and of the down projection as they were taken up.
  private var sizes: (weight: Double, down: Double) = (0, 0)
  private let batch: Batch
  private let scratch: StackScratch

  /// Memory for a mini-batch.
  private struct Batch {
    let rows: Tensor
    let scales: Tensor
    let x: Tensor
    let target: Tensor
    let output: Tensor
    let error: Tensor
    let activation: Tensor
    let xGradient: Tensor
    let saved: FeedForwardActivations

    init(_ c: FeedForwardConfiguration, rows n: Int, type: DataType, in layout: inout ArenaLayout) {
      rows = layout.tensor([n], .int32)
      scales = layout.tensor([n])
      x = layout.tensor([n, c.hiddenSize], type)
      target = layout.tensor([n, c.hiddenSize], type)
      output = layout.tensor([n, c.hiddenSize], type)
      error = layout.tensor([n, c.hiddenSize], type)
      activation = layout.tensor([n, c.intermediateSize], type)
      xGradient = layout.tensor([n, c.hiddenSize], type)
      saved = FeedForwardActivations(c, rows: n, type: type, in: &layout)
    }
  }

  /// Memory for blocks of `configuration`, an MGLU, in mini-batches of at most `rows` rows.
  init(_ configuration: FeedForwardConfiguration, rows: Int, on backend: any TrainingBackend) {
    self.backend = backend
    let (d, h) = (configuration.intermediateSize, configuration.hiddenSize)
    let masks = configuration.unit.masks?.count ?? 1
    let type = backend.productType
    // What is trained comes first: the gradients and moments have no more than that.
    func trained(_ layout: inout ArenaLayout) -> (Tensor, Tensor) {
      (layout.tensor([d, h]), layout.tensor([h, d]))
    }
    (weight, down, maskLogits) = backend.allocate { layout in
      let (weight, down) = trained(&layout)
      return (weight, down, layout.tensor([masks, d, h]))
    }
    downCopy = type == .float32 ? down : backend.allocate { $0.tensor([h, d], type) }
    gradients = Gradients(
      arena: backend.allocate { trained(&$0).0 }.arena, accumulates: false)
    moments = (backend.allocate { trained(&$0).0 }.arena, backend.allocate { trained(&$0).0 }.arena)
    squaredNorm = backend.allocate { $0.tensor([1], .float64) }
    unit = MaskedGatedLinearUnit(
      weight: weight, maskLogits: maskLogits, activation: configuration.activation,
      maskKind: .fixed)
    (batch, scratch) = backend.allocate { layout in
      (
        Batch(configuration, rows: rows, type: type, in: &layout),
        StackScratch(configuration, type: type, in: &layout)
      )
    }
  }

  /// The most rows of a mini-batch.
  var rows: Int { batch.x.rows }

  /// Takes up a layer of the host, and forgets the moments of the one before.
  mutating func assign(_ layer: ConvertedLayer) {
    sizes = (layer.weight.rootMeanSquare, layer.down.rootMeanSquare)
    backend.copy(layer.weight, into: weight)
    backend.copy(layer.maskSigns, into: maskLogits)
    backend.copy(layer.down, into: down)
    if downCopy.arena !== down.arena { backend.convert(down, into: downCopy) }
    for arena in [moments.first, moments.second] { backend.clear(arena.floats) }
    backend.synchronize()
  }

  /// Copies the tuned matrices to a layer of the host.
  func copyMatrices(to layer: ConvertedLayer) {
    backend.copy(weight, into: layer.weight)
    backend.copy(down, into: layer.down)
    backend.synchronize()
  }

  /// output = residual + unit(x) downᵀ, for at most ``rows`` rows; output may be residual.
  func forward(_ x: Tensor, addingTo residual: Tensor, into output: Tensor) {
    let saved = batch.saved.prefix(x.rows)
    unit.forward(x, saving: saved, scratch: scratch, on: backend)
    backend.multiply(saved.output, downCopy.transposed, into: output, adding: residual)
  }

  /// One step on the rows of `x`, `target` and `rowScales` that `indices` name: `rowScales` are one
  /// over the root of the mean of the residual's squares; the rate is a share of each matrix's size.
  func step(
    _ indices: ArraySlice<Int32>, x: Tensor, target: Tensor, rowScales: [Float],
    learningRate: Double, number: Int
  ) {
    let n = indices.count
    let b = batch
    let host = backend.host
    let (ids, scales) = host.allocate { ($0.tensor([n], .int32), $0.tensor([n])) }
    ids.assign(integers: indices)
    scales.assign(indices.map { rowScales[Int($0)] })
    backend.copy(ids, into: b.rows[0..<n])
    backend.copy(scales, into: b.scales[0..<n])
    backend.embed(b.rows[0..<n], table: x, into: b.x[0..<n])
    backend.embed(b.rows[0..<n], table: target, into: b.target[0..<n])
    let saved = b.saved.prefix(n)
    let (output, error, upstream) = (b.output[0..<n], b.error[0..<n], b.activation[0..<n])
    unit.forward(b.x[0..<n], saving: saved, scratch: scratch, on: backend)
    backend.multiply(saved.output, downCopy.transposed, into: output)
    backend.scaledDifference(output, b.target[0..<n], rowScales: b.scales[0..<n], into: error)
    // The gradient has the scale twice.
    backend.scaledDifference(error, nil, rowScales: b.scales[0..<n], into: error)
    let downGradient = gradients[down]
    backend.multiply(error.transposed, saved.output, into: downGradient)
    backend.multiply(error, downCopy, into: upstream)
    unit.backward(
      upstream, x: b.x[0..<n], saved: saved, xGradient: b.xGradient[0..<n], gradients: gradients,
      scratch: scratch, on: backend)
    backend.sumOfSquares(gradients.arena.floats, into: squaredNorm)
    for (tensor, size, copy) in [
      (weight, sizes.weight, nil),
      (down, sizes.down, downCopy.arena === down.arena ? nil : downCopy),
    ] as [(Tensor, Double, Tensor?)] {
      backend.adamW(
        tensor, gradient: gradients[tensor],
        firstMoment: tensor.counterpart(in: moments.first),
        secondMoment: tensor.counterpart(in: moments.second), copy: copy,
        squaredNorm: squaredNorm,
        step: AdamWStep(
          learningRate: Float(learningRate * size), beta1: 0.9, beta2: 0.95, epsilon: 1e-8,
          weightDecay: 0, step: number))
    }
    // The host's copies of this step are read by then.
    backend.synchronize()
    withExtendedLifetime((ids, scales)) {}
  }
}

extension Tensor {
  /// The root of the mean of the squares of float32 elements on the host.
  fileprivate var rootMeanSquare: Double {
    withFloats { values in
      var sum = 0.0
      for index in values.indices { sum += Double(values[index]) * Double(values[index]) }
      return (sum / Double(max(count, 1))).squareRoot()
    }
  }
}
