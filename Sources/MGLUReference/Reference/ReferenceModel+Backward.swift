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
    add(dLogits.transposed * trace.normed, to: headName, in: &gradients)
    var dResidual = backward(
      dLogits * parameter(headName), throughNorm: "model.norm.weight", x: trace.residual,
      &gradients)
    for index in trace.layers.indices.reversed() {
      dResidual = backward(
        dResidual, trace.layers[index], prefix: "model.layers.\(index).", length: length,
        &gradients)
    }
    var dEmbedding = parameter(embeddingName).zeros
    for (row, token) in tokens.enumerated() {
      for column in 0..<dResidual.columns {
        dEmbedding[Int(token), column] += dResidual[row, column]
      }
    }
    add(dEmbedding, to: embeddingName, in: &gradients)
    return Result(losses: losses, logits: trace.logits, gradients: gradients)
  }

  private func add(
    _ gradient: ReferenceMatrix, to name: String,
    in gradients: inout [String: ReferenceMatrix]
  ) {
    gradients[name] = gradients[name].map { $0 + gradient } ?? gradient
  }

  private func backward(
    _ upstream: ReferenceMatrix, throughNorm name: String, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let gradient = norm(name).backward(upstream, x: x)
    add(gradient.weight, to: name, in: &gradients)
    return gradient.input
  }

  /// y = x W^T: dW = dY^T X, and dX = dY W is returned.
  private func backward(
    _ upstream: ReferenceMatrix, throughProjection name: String, x: ReferenceMatrix,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    add(upstream.transposed * x, to: name, in: &gradients)
    return upstream * parameter(name)
  }

  /// The gradient of a block's input from that of its output.
  private func backward(
    _ upstream: ReferenceMatrix, _ t: LayerTrace, prefix: String, length: Int,
    _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let dActivation = backward(
      upstream, throughProjection: prefix + "mlp.down_proj.weight", x: t.activation, &gradients)
    let dMiddleNormed = backward(
      dActivation, throughUnit: prefix + "mlp.", of: unit(prefix), x: t.middleNormed, &gradients)
    let dMiddle =
      upstream
      + backward(
        dMiddleNormed, throughNorm: prefix + "post_attention_layernorm.weight", x: t.middle,
        &gradients)

    let dAttention = backward(
      dMiddle, throughProjection: prefix + "self_attn.o_proj.weight", x: t.attention, &gradients)
    let parts = texts(t.input.rows, length).map { rows in
      ReferenceAttention(configuration.attention).backward(
        dAttention.rows(rows), queries: t.queries.rows(rows), keys: t.keys.rows(rows),
        values: t.values.rows(rows))
    }
    let positions = (0..<t.input.rows).map { $0 % length }
    let projections = [
      ("q", rotary(.stacked(parts.map(\.queries)), positions: positions, inverse: true)),
      ("k", rotary(.stacked(parts.map(\.keys)), positions: positions, inverse: true)),
      ("v", .stacked(parts.map(\.values))),
    ]
    var dNormed = t.normed.zeros
    for (name, gradient) in projections {
      dNormed += backward(
        gradient, throughProjection: prefix + "self_attn.\(name)_proj.weight", x: t.normed,
        &gradients)
    }
    return dMiddle
      + backward(
        dNormed, throughNorm: prefix + "input_layernorm.weight", x: t.input, &gradients)
  }

  private func backward(
    _ upstream: ReferenceMatrix, throughUnit prefix: String, of unit: ReferenceUnit,
    x: ReferenceMatrix, _ gradients: inout [String: ReferenceMatrix]
  ) -> ReferenceMatrix {
    let gradient = unit.backward(upstream, x: x)
    if let value = gradient.valueWeight {
      add(gradient.weight, to: prefix + "gate_proj.weight", in: &gradients)
      add(value, to: prefix + "up_proj.weight", in: &gradients)
    } else {
      add(gradient.weight, to: prefix + "up_proj.weight", in: &gradients)
    }
    if !gradient.masks.isEmpty {
      add(.stacked(gradient.masks), to: prefix + "mask_logits", in: &gradients)
    }
    if let router = gradient.router {
      add(router, to: prefix + "router.weight", in: &gradients)
    }
    return gradient.input
  }
}
