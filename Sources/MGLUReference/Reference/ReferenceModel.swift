import MGLUModel

/// A whole Llama-style model in float64: its parameters by their Hugging Face names.
///
///     y = x + attention(norm(x)) Wo^T
///     output = y + unit(norm(y)) Wdown^T
package struct ReferenceModel: Sendable {
  /// What `mlp.mask_logits` means.
  package enum Masking: Sendable {
    /// Logits: M = 1 where L > 0.
    case thresholded
    /// The masks themselves, any real numbers, for finite differences.
    case realValued
  }

  /// The shape.
  package var configuration: ModelConfiguration
  /// Every parameter; mask logits `[n_m, d, h]` as `[n_m d, h]`, norms as `[1, h]`.
  package var parameters: [String: ReferenceMatrix]
  /// What `mlp.mask_logits` means.
  package var masking: Masking

  /// A model of `parameters`, which hold every name that `configuration` asks for.
  package init(
    _ configuration: ModelConfiguration, parameters: [String: ReferenceMatrix],
    masking: Masking = .thresholded
  ) {
    self.configuration = configuration
    self.parameters = parameters
    self.masking = masking
  }

  /// The reference of a float32 model, with the same parameters.
  package init(_ model: LanguageModel) {
    self.init(
      model.configuration,
      parameters: Dictionary(
        uniqueKeysWithValues: model.namedParameters.map {
          ($0.name, ReferenceMatrix($0.tensor))
        }))
  }

  /// The parameter called `name`; a missing one is empty, and no shape fits it.
  func parameter(_ name: String) -> ReferenceMatrix {
    parameters[name, default: ReferenceMatrix(rows: 0, columns: 0)]
  }

  var embeddingName: String { "model.embed_tokens.weight" }
  var headName: String { configuration.tiesEmbeddings ? embeddingName : "lm_head.weight" }

  func norm(_ name: String) -> ReferenceNorm {
    ReferenceNorm(weight: parameter(name), epsilon: Double(configuration.normEpsilon))
  }

  /// The up side of the block whose names begin with `prefix`.
  func unit(_ prefix: String) -> ReferenceUnit {
    let up = parameter(prefix + "mlp.up_proj.weight")
    var unit = ReferenceUnit(
      kind: configuration.feedForward.unit, activation: configuration.feedForward.activation,
      weight: up)
    switch configuration.feedForward.unit {
    case .glu:
      unit.weight = parameter(prefix + "mlp.gate_proj.weight")
      unit.valueWeight = up
    case .mglu(let masks):
      let logits = parameter(prefix + "mlp.mask_logits").split(masks.count)
      unit.masks = masking == .realValued ? logits : logits.map(ReferenceUnit.mask(ofLogits:))
      if let topK = masks.routerTopK {
        unit.router = ReferenceRouter(
          weight: parameter(prefix + "mlp.router.weight"), topK: topK)
      }
    case .lu, .sharedGLU: break
    }
    return unit
  }

  /// What a pass computes in one block, in the order of computation.
  struct LayerTrace {
    let input: ReferenceMatrix
    let normed: ReferenceMatrix
    let queries: ReferenceMatrix
    let keys: ReferenceMatrix
    let values: ReferenceMatrix
    let attention: ReferenceMatrix
    let middle: ReferenceMatrix
    let middleNormed: ReferenceMatrix
    let activation: ReferenceMatrix
    let output: ReferenceMatrix
  }

  /// What a whole pass computes.
  struct Trace {
    let layers: [LayerTrace]
    let residual: ReferenceMatrix
    let normed: ReferenceMatrix
    let logits: ReferenceMatrix
  }

  /// Runs `tokens`, texts of `length` tokens one after the other.
  func trace(_ tokens: [Int32], length: Int) -> Trace {
    let embedding = parameter(embeddingName)
    var residual = ReferenceMatrix.stacked(
      tokens.map { embedding.rows(Int($0)..<Int($0) + 1) })
    var layers: [LayerTrace] = []
    for index in 0..<configuration.layers {
      layers.append(trace(residual, prefix: "model.layers.\(index).", length: length))
      residual = layers[index].output
    }
    let normed = norm("model.norm.weight")(residual)
    let logits = normed * parameter(headName).transposed
    return Trace(layers: layers, residual: residual, normed: normed, logits: logits)
  }

  private func trace(_ x: ReferenceMatrix, prefix: String, length: Int) -> LayerTrace {
    let normed = norm(prefix + "input_layernorm.weight")(x)
    func projection(_ name: String) -> ReferenceMatrix {
      normed * parameter(prefix + "self_attn.\(name)_proj.weight").transposed
    }
    let positions = (0..<x.rows).map { $0 % length }
    let q = rotary(projection("q"), positions: positions)
    let k = rotary(projection("k"), positions: positions)
    let v = projection("v")
    let attention = ReferenceMatrix.stacked(
      texts(x.rows, length).map { rows in
        ReferenceAttention(configuration.attention)(
          queries: q.rows(rows), keys: k.rows(rows), values: v.rows(rows))
      })
    let middle = x + attention * parameter(prefix + "self_attn.o_proj.weight").transposed
    let middleNormed = norm(prefix + "post_attention_layernorm.weight")(middle)
    let activation = unit(prefix)(middleNormed)
    return LayerTrace(
      input: x, normed: normed, queries: q, keys: k, values: v, attention: attention,
      middle: middle, middleNormed: middleNormed, activation: activation,
      output: middle + activation * parameter(prefix + "mlp.down_proj.weight").transposed)
  }

  var rotary: ReferenceRotary {
    ReferenceRotary(
      headSize: configuration.attention.headSize, theta: configuration.ropeTheta)
  }

  /// The rows of each text.
  func texts(_ rows: Int, _ length: Int) -> [Range<Int>] {
    stride(from: 0, to: rows, by: length).map { $0..<$0 + length }
  }

  /// The logits `[n, V]` of `tokens`, texts of `length` tokens one after the other.
  package func logits(_ tokens: [Int32], length: Int) -> ReferenceMatrix {
    trace(tokens, length: length).logits
  }

  /// The sum of all targets' losses in nats; a negative target counts nothing.
  package func loss(_ tokens: [Int32], targets: [Int32], length: Int) -> Double {
    let logits = logits(tokens, length: length)
    return ReferenceLoss.crossEntropy(logits, targets: targets).losses.reduce(0, +)
  }
}
