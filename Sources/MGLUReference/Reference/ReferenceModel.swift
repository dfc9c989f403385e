import MGLUModel

/// A whole Llama-style model in float64: its parameters by their Hugging Face names.
///
///     y = x + attention(norm(x)) Wo^T + bo
///     output = y + unit(norm(y)) Wdown^T
package struct ReferenceModel: Sendable {
  /// What mask logits mean.
  package enum Masking: Sendable {
    /// Logits: M = 1 where L > 0.
    case thresholded
    /// The masks themselves, any real numbers, for finite differences.
    case realValued
  }

  /// The shape.
  package let configuration: ModelConfiguration
  /// Every parameter; mask logits `[n_m, d, h]` as `[n_m d, h]`, norms as `[1, h]`.
  package var parameters: [String: ReferenceMatrix]
  /// What mask logits mean.
  package var masking: Masking
  /// Which parameter belongs where.
  let table: ParameterTable

  /// A model of `parameters`, which hold every name that `configuration` asks for.
  package init(
    _ configuration: ModelConfiguration, parameters: [String: ReferenceMatrix],
    masking: Masking = .thresholded
  ) {
    self.configuration = configuration
    table = configuration.parameterTable
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

  /// The elements of a parameter; a missing one is empty, and no shape fits it.
  func elements(_ parameter: Parameter) -> ReferenceMatrix {
    parameters[parameter.name, default: ReferenceMatrix(rows: 0, columns: 0)]
  }

  func norm(_ parameter: Parameter) -> ReferenceNorm {
    ReferenceNorm(weight: elements(parameter), epsilon: Double(configuration.normEpsilon))
  }

  /// Every head of x `[n, heads headSize]` normalized, where there is a norm.
  private func headNorm(_ parameter: Parameter?, _ x: ReferenceMatrix) -> ReferenceMatrix {
    guard let parameter else { return x }
    let heads = x.reshaped(columns: configuration.attention.headSize)
    return norm(parameter)(heads).reshaped(columns: x.columns)
  }

  /// The up side of a block.
  func unit(_ parameters: UnitParameters) -> ReferenceUnit {
    let matrices = parameters.up.map(elements)
    var unit = ReferenceUnit(
      kind: configuration.feedForward.unit, activation: configuration.feedForward.activation,
      weight: matrices[0], valueWeight: matrices.count == 2 ? matrices[1] : nil)
    if let logits = parameters.maskLogits {
      let all = elements(logits).split(logits.shape[0])
      unit.masks = masking == .realValued ? all : all.map(ReferenceUnit.mask(ofLogits:))
    }
    if let router = parameters.router, let topK = unit.kind.masks?.routerTopK {
      unit.router = ReferenceRouter(weight: elements(router), topK: topK)
    }
    return unit
  }

  /// What a pass computes in one block, in the order of computation.
  struct LayerTrace {
    let input: ReferenceMatrix
    let normed: ReferenceMatrix
    /// Queries and keys before their norms and rotation.
    let projected: [ReferenceMatrix]
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
    let embedding = elements(table.embedding[0])
    var residual = ReferenceMatrix.stacked(
      tokens.map { embedding.rows(Int($0)..<Int($0) + 1) })
    var layers: [LayerTrace] = []
    for (index, layer) in table.layers.enumerated() {
      layers.append(trace(residual, layer, length: length))
      residual = layers[index].output
    }
    let normed = norm(table.norm)(residual)
    let logits = normed * elements(table.head[0]).transposed
    return Trace(layers: layers, residual: residual, normed: normed, logits: logits)
  }

  private func trace(
    _ x: ReferenceMatrix, _ layer: ParameterTable.Layer, length: Int
  ) -> LayerTrace {
    let normed = norm(layer.inputNorm)(x)
    let qkv = layer.qkv.indices.map {
      adding(layer.qkvBias?[$0], to: normed * elements(layer.qkv[$0]).transposed)
    }
    let rotary = rotary(layer, length: length)
    let positions = (0..<x.rows).map { $0 % length }
    let q = rotary(headNorm(layer.queryNorm, qkv[0]), positions: positions)
    let k = rotary(headNorm(layer.keyNorm, qkv[1]), positions: positions)
    let v = qkv[2]
    let attention = ReferenceMatrix.stacked(
      texts(x.rows, length).map { rows in
        ReferenceAttention(layer.attention)(
          queries: q.rows(rows), keys: k.rows(rows), values: v.rows(rows))
      })
    let middle =
      x + adding(layer.outputBias?[0], to: attention * elements(layer.output[0]).transposed)
    let middleNormed = norm(layer.postAttentionNorm)(middle)
    let activation = unit(layer.unit)(middleNormed)
    return LayerTrace(
      input: x, normed: normed, projected: Array(qkv[0...1]), queries: q, keys: k, values: v,
      attention: attention,
      middle: middle, middleNormed: middleNormed, activation: activation,
      output: middle + activation * elements(layer.down[0]).transposed)
  }

  /// The positions of a layer in texts of some length.
  func rotary(_ layer: ParameterTable.Layer, length: Int) -> ReferenceRotary {
    ReferenceRotary(
      headSize: layer.attention.headSize, rotarySize: layer.attention.rotarySize,
      theta: configuration.ropeTheta, scaling: configuration.ropeScaling,
      context: length)
  }

  /// x with a bias added to every row, where there is one.
  private func adding(_ parameter: Parameter?, to x: ReferenceMatrix) -> ReferenceMatrix {
    guard let parameter else { return x }
    let bias = elements(parameter)
    return ReferenceMatrix(rows: x.rows, columns: x.columns) { x[$0, $1] + bias[0, $1] }
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

extension ReferenceMatrix {
  /// The same elements in rows of `columns`, such as heads.
  func reshaped(columns: Int) -> ReferenceMatrix {
    ReferenceMatrix(rows: rows * self.columns / columns, columns: columns, elements: elements)
  }
}
