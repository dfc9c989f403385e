import MGLUModel

extension ReferenceModel {
  /// Losses and the gradients of their sum.
  package struct Result: Sendable {
    /// The loss of each target in nats.
    package var losses: [Double]
    /// The logits `[n, V]`.
    package var logits: ReferenceMatrix
    /// The gradient of the losses' sum for every parameter, by its Hugging Face name and in its
    /// shape. Tied embeddings gather what flows in at both ends.
    package var gradients: [String: ReferenceMatrix]
  }

  /// One forward and backward pass over `tokens`, texts of `length` tokens one after the other.
  package func lossAndGradients(_ tokens: [Int32], targets: [Int32], length: Int) -> Result {
    let trace = trace(tokens, length: length)
    let (losses, dLogits) = ReferenceLoss.crossEntropy(trace.logits, targets: targets)
    var gradients = parameters.mapValues(\.zeros)
    add(dLogits.transposed * trace.normed, to: table.head[0], in: &gradients)
    var dResidual = backward(
      dLogits * elements(table.head[0]), throughNorm: table.norm, x: trace.residual, &gradients)
    for index in trace.layers.indices.reversed() {
      dResidual = backward(
        dResidual, trace.layers[index], table.layers[index], length: length, &gradients)
    }
    var dEmbedding = elements(table.embedding[0]).zeros
    for (row, token) in tokens.enumerated() {
      for column in 0..<dResidual.columns {
        dEmbedding[Int(token), column] += dResidual[row, column]
      }
    }
    add(dEmbedding, to: table.embedding[0], in: &gradients)
    return Result(losses: losses, logits: trace.logits, gradients: gradients)
  }

  private func add(
    _ gradient: ReferenceMatrix, to parameter: Parameter,
    in gradients: inout [String: ReferenceMatrix]
  ) {
    let name = parameter.name
    gradients[name] = gradients[name].map { $0 + gradient } ?? gradient
  }

  /// The gradient of a bias: the sum of the rows.
  private func addRows(
    of gradient: ReferenceMatrix, to bias: Parameter?, in gradients: inout [String: ReferenceMatrix]
  ) {
    guard let bias else { return }
    let sums = gradient.transposed.rowSums
    add(ReferenceMatrix(rows: 1, columns: sums.count, elements: sums), to: bias, in: &gradients)
  }

  private func backward(
    _ upstream: ReferenceMatrix, throughNorm parameter: Parameter, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let gradient = norm(parameter).backward(upstream, x: x)
    add(gradient.weight, to: parameter, in: &gradients)
    return gradient.input
  }

  private func backward(
    _ upstream: ReferenceMatrix, throughHeadNorm parameter: Parameter?, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    guard let parameter else { return upstream }
    let size = configuration.attention.headSize
    return backward(
      upstream.reshaped(columns: size), throughNorm: parameter, x: x.reshaped(columns: size),
      &gradients
    ).reshaped(columns: x.columns)
  }

  /// y = x W^T: dW = dY^T X, and dX = dY W is returned.
  private func backward(
    _ upstream: ReferenceMatrix, throughProjection parameter: Parameter, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    add(upstream.transposed * x, to: parameter, in: &gradients)
    return upstream * elements(parameter)
  }

  /// The gradient of a block's input from that of its output.
  private func backward(
    _ upstream: ReferenceMatrix, _ t: LayerTrace, _ layer: ParameterTable.Layer, length: Int,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let dActivation = backward(
      upstream, throughProjection: layer.down[0], x: t.activation, &gradients)
    let dMiddleNormed = backward(
      dActivation, throughUnit: layer.unit, x: t.middleNormed, &gradients)
    let dMiddle =
      upstream
      + backward(
        dMiddleNormed, throughNorm: layer.postAttentionNorm, x: t.middle, &gradients)

    addRows(of: dMiddle, to: layer.outputBias?[0], in: &gradients)
    let dAttention = backward(
      dMiddle, throughProjection: layer.output[0], x: t.attention, &gradients)
    let parts = texts(t.input.rows, length).map { rows in
      ReferenceAttention(layer.attention).backward(
        dAttention.rows(rows), queries: t.queries.rows(rows), keys: t.keys.rows(rows),
        values: t.values.rows(rows))
    }
    let positions = (0..<t.input.rows).map { $0 % length }
    let rotary = rotary(layer, length: length)
    let dQKV = [
      backward(
        rotary(.stacked(parts.map(\.queries)), positions: positions, inverse: true),
        throughHeadNorm: layer.queryNorm, x: t.projected[0], &gradients),
      backward(
        rotary(.stacked(parts.map(\.keys)), positions: positions, inverse: true),
        throughHeadNorm: layer.keyNorm, x: t.projected[1], &gradients),
      .stacked(parts.map(\.values)),
    ]
    var dNormed = t.normed.zeros
    for (index, gradient) in dQKV.enumerated() {
      addRows(of: gradient, to: layer.qkvBias?[index], in: &gradients)
      dNormed += backward(
        gradient, throughProjection: layer.qkv[index], x: t.normed, &gradients)
    }
    return dMiddle
      + backward(
        dNormed, throughNorm: layer.inputNorm, x: t.input, &gradients)
  }

  private func backward(
    _ upstream: ReferenceMatrix, throughUnit parameters: UnitParameters, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let gradient = unit(parameters).backward(upstream, x: x)
    let matrices = [gradient.weight] + (gradient.valueWeight.map { [$0] } ?? [])
    for (parameter, gradient) in zip(parameters.up, matrices) {
      add(gradient, to: parameter, in: &gradients)
    }
    if let logits = parameters.maskLogits {
      add(.stacked(gradient.masks), to: logits, in: &gradients)
    }
    if let parameter = parameters.router, let router = gradient.router {
      add(router, to: parameter, in: &gradients)
    }
    return gradient.input
  }
}
