import MGLU

/// The residual streams of a calibration text at one place of a model: the original model's, and those
/// that the blocks converted so far give. Both go through the layers side by side, so that each block
/// is fitted to the inputs that it will have.
///
/// T tokens in windows, T rows of h elements of a product's type: four matrices, and the activations
/// of a few windows.
package struct CalibrationStreams {
  /// The most windows computed side by side.
  private static let windowsPerChunk = 8
  /// Rows whose streams say how sensitive a unit is to its gate and value: enough for a mean.
  private static let sensitivityRows = 1 << 14

  private let model: LanguageModel
  private let activations: ModelActivations
  /// The original's residual stream behind the layers so far.
  private let original: Tensor
  /// The converted model's: behind the layers so far, and within a layer behind its attention.
  private let converted: Tensor
  /// The converted model's normalized inputs of the feed-forward block.
  package let inputs: Tensor
  /// What the block should add to ``converted``: the original's residual stream less it.
  package let targets: Tensor
  private let scales: Tensor
  private let hessian: Tensor
  private let ones: Tensor
  private let wide: Tensor
  private let sum: Tensor

  /// The embeddings of `tokens`, whole windows of `length`.
  package init(_ model: LanguageModel, tokens: [Int32], length: Int) {
    self.model = model
    let (backend, c) = (model.backend, model.configuration)
    let (rows, h, type) = (tokens.count, c.hiddenSize, model.backend.productType)
    activations = model.makeActivations(
      sequences: Self.chunk(ofWindows: rows / length), length: length, purpose: .evaluation)
    let chunk = activations.tokens.count
    func stream() -> Tensor { backend.allocate { $0.tensor([rows, h], type) } }
    (original, converted, inputs, targets) = (stream(), stream(), stream(), stream())
    (scales, hessian, ones, wide, sum) = backend.allocate { layout in
      (
        layout.tensor([rows]), layout.tensor([h, h]),
        layout.tensor([chunk, c.feedForward.intermediateSize], type), layout.tensor([chunk, h]),
        layout.tensor([1], .float64)
      )
    }
    fill(ones)
    let ids = backend.host.allocate { $0.tensor([rows], .int32) }
    ids.assign(integers: tokens)
    let resident = backend.allocate { $0.tensor([rows], .int32) }
    backend.copy(ids, into: resident)
    backend.embed(resident, table: model.deviceWeights.embedding, into: original)
    backend.copy(original, into: converted)
    backend.synchronize()
    withExtendedLifetime((ids, resident)) {}
  }

  /// T.
  package var rows: Int { original.rows }
  private var backend: any TrainingBackend { model.backend }

  private func fill(_ tensor: Tensor) {
    let host = backend.host.allocate { $0.tensor(tensor.shape) }
    host.assign(repeatElement(1, count: host.count))
    let resident =
      tensor.dataType == .float32 ? tensor : backend.allocate { $0.tensor(tensor.shape) }
    backend.copy(host, into: resident)
    if tensor.dataType != .float32 { backend.convert(resident, into: tensor) }
    backend.synchronize()
    withExtendedLifetime((host, resident)) {}
  }

  /// What a block is fitted to.
  package struct Statistics {
    /// H = Σ x xᵀ / mean(r²) over the inputs x of the block, r the residual behind it `[h, h]`.
    package let hessian: Tensor
    /// Of the original unit at these inputs.
    package let sensitivity: MaskFit.Sensitivity
    /// 1 / sqrt(mean(r²)) of every row.
    package let rowScales: [Float]
  }

  /// Computes layer `index` of the original, and the converted model's up to its feed-forward block,
  /// whose ``inputs`` and ``targets`` are set then.
  package func enter(_ index: Int) -> Statistics {
    let layer = model.deviceWeights.layers[index]
    let a = activations.layers[0]
    let d = model.configuration.feedForward.intermediateSize
    var sensitivity = MaskFit.Sensitivity(
      gate: Array(repeating: 0, count: d), value: Array(repeating: 0, count: d))
    backend.clear(hessian)
    forEachChunk { chunk in
      backend.copy(original[chunk], into: a.input)
      model.forward(layer, a, activations: activations)
      backend.multiply(
        a.feedForward.output, layer.down.transposed, into: original[chunk], adding: a.middle)
      // The scale of the residual: the norm is computed for its statistics.
      backend.rmsNorm(
        original[chunk], weight: layer.postAttentionNorm, epsilon: model.configuration.normEpsilon,
        into: a.middleNormed, inverseRMS: scales[chunk])

      backend.copy(converted[chunk], into: a.input)
      model.attention(layer, a.input, saving: a.attention, into: a.middle, activations)
      backend.rmsNorm(
        a.middle, weight: layer.postAttentionNorm, epsilon: model.configuration.normEpsilon,
        into: inputs[chunk], inverseRMS: a.middleInverseRMS)
      backend.copy(a.middle, into: converted[chunk])
      backend.scaledDifference(original[chunk], a.middle, rowScales: nil, into: targets[chunk])
      backend.scaledDifference(
        inputs[chunk], nil, rowScales: scales[chunk], into: a.middleNormed)
      backend.multiply(
        a.middleNormed.transposed, a.middleNormed, into: hessian, adding: hessian)
      if chunk.lowerBound < Self.sensitivityRows {
        addSensitivity(of: layer.unit, chunk, to: &sensitivity)
      }
    }
    return Statistics(
      hessian: backend.onHost(hessian), sensitivity: sensitivity,
      rowScales: backend.onHost(scales).array)
  }

  /// The gradient of a with respect to gate and value is g'(s) v and g(s), whatever g is.
  private func addSensitivity(
    of unit: any FeedForwardUnit, _ chunk: Range<Int>, to sensitivity: inout MaskFit.Sensitivity
  ) {
    let a = activations.layers[0].feedForward
    unit.forward(inputs[chunk], saving: a, scratch: activations.scratch, on: backend)
    backend.combineBackward(
      ones, streams: a.streams, gating: unit.gating, activation: unit.activation, routes: nil,
      streamsGradient: a.streams, routesGradient: nil)
    let streams = backend.host.converted(
      StoredMatrix(weights: backend.onHost(a.streams)), to: .float32
    ).weights
    // Pointers to elements keep no memory alive.
    defer { withExtendedLifetime(streams) {} }
    let factors = backend.onHost(scales[chunk]).array.map { $0 * $0 }
    let d = sensitivity.gate.count
    sensitivity.gate.withUnsafeMutableBufferPointer { gate in
      sensitivity.value.withUnsafeMutableBufferPointer { value in
        // Each column is written by one thread.
        nonisolated(unsafe) let (gate, value) = (gate, value)
        backend.host.pool.forEachRange(of: d, unit: 16) { columns in
          for (row, factor) in factors.enumerated() {
            let from = streams.floats + row * 2 * d
            for k in columns {
              gate[k] += factor * from[k] * from[k]
              value[k] += factor * from[d + k] * from[d + k]
            }
          }
        }
      }
    }
  }

  /// Adds the output of the converted block to the converted stream: `forward` computes
  /// `output = residual + block(x)` for at most `rows` rows, in place. Returns the mean over the rows
  /// of |converted - original|² / |original|².
  package func leave(
    rows: Int, forward: (_ x: Tensor, _ residual: Tensor, _ output: Tensor) -> Void
  ) throws(BackendError) -> Double {
    for chunk in chunks(of: rows) {
      forward(inputs[chunk], converted[chunk], converted[chunk])
    }
    var total = 0.0
    for chunk in chunks(of: wide.rows) {
      let error = wide[0..<chunk.count]
      backend.scaledDifference(
        converted[chunk], original[chunk], rowScales: scales[chunk], into: error)
      backend.sumOfSquares(error.reshaped([error.count]), into: sum)
      let found = backend.onHost(sum)
      total += withExtendedLifetime(found) { found.doubles[0] }
    }
    try backend.finish()
    return total / Double(original.count)
  }

  private func chunks(of size: Int) -> [Range<Int>] {
    stride(from: 0, to: rows, by: size).map { $0..<min($0 + size, rows) }
  }

  private func forEachChunk(_ body: (Range<Int>) -> Void) {
    for chunk in chunks(of: activations.tokens.count) { body(chunk) }
  }

  /// As many windows at a time as leave no remainder.
  static func chunk(ofWindows windows: Int) -> Int {
    (1...windowsPerChunk).last { windows % $0 == 0 } ?? 1
  }
}
