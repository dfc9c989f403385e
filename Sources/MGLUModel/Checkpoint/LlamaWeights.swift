/// The weights of the stock Llama that computes the same as a model, each made when it is asked for: an
/// MGLU written out as a GLU of width n_m d.
///
///     Wg = [M_1 (.) W; ...; M_n (.) W],  Wv = [(1 - M_1) (.) W; ...],  Wo' = [Wo ... Wo]
///
/// Masks become zeros, so the result has 3 n_m h d feed-forward weights in place of 2 h d. Elements keep
/// their type, and INT8 its scales. A GLU stays as it is, a shared GLU becomes one with equal gate and
/// value. What a Llama cannot express is refused: LU has no gate, and a router weights each route for
/// each token.
package struct LlamaWeights<Source: WeightSource>: WeightSource {
  /// The shape of the Llama.
  package let configuration: ModelConfiguration
  private let source: Source
  private let masks: Int
  /// What a parameter of a feed-forward block is made of, by its name.
  private let origins: [String: Origin]

  private enum Origin {
    case gate(UnitParameters)
    case value(UnitParameters)
    case down(Parameter)
  }

  package init(_ configuration: ModelConfiguration, from source: Source) throws(CheckpointError) {
    var target = configuration
    target.feedForward.unit = .glu
    switch configuration.feedForward.unit {
    case .glu, .sharedGLU: break
    case .lu:
      throw CheckpointError(
        .notExportable, "a plain feed-forward layer has no gate, which every Llama block has",
        remedy: "export a GLU or an MGLU")
    case .mglu(let masks):
      if let ablation = masks.ablation {
        throw CheckpointError(
          .notExportable,
          "a model with \(ablation.rawValue) is a control for experiments, which "
            + "is not exported", remedy: "export an MGLU with both masks")
      }
      if masks.routerTopK != nil {
        throw CheckpointError(
          .notExportable, "a router weights the masks for each token, which no Llama does",
          remedy: "export an MGLU without a router")
      }
      let (width, overflow) = target.feedForward.intermediateSize
        .multipliedReportingOverflow(by: masks.count)
      guard !overflow else {
        throw CheckpointError(.notExportable, "a GLU \(masks.count) times as wide is too large")
      }
      target.feedForward.intermediateSize = width
    }
    self.configuration = target
    self.source = source
    masks = configuration.feedForward.unit.masks?.count ?? 1
    var origins: [String: Origin] = [:]
    if configuration.feedForward.unit != .glu {
      let layers = zip(target.parameterTable.layers, configuration.parameterTable.layers)
      for (to, from) in layers {
        origins[to.unit.up[0].name] = .gate(from.unit)
        origins[to.unit.up[1].name] = .value(from.unit)
        for (down, original) in zip(to.down, from.down) { origins[down.name] = .down(original) }
      }
    }
    self.origins = origins
  }

  package func matrix(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    switch origins[parameter.name] {
    case nil: return try source.matrix(parameter, on: host)
    case .gate(let unit): return try expanded(unit, keeping: true, on: host)
    case .value(let unit): return try expanded(unit, keeping: false, on: host)
    case .down(let original):
      let matrix = try source.matrix(original, on: host)
      if masks == 1 { return matrix }
      // Groups with a scale begin anew only where they are whole.
      let isWhole = matrix.type != .int8 || matrix.columns % WeightType.groupSize == 0
      let parts = isWhole ? matrix : host.converted(matrix, to: .float32)
      return StoredMatrix(
        weights: parts.weights.repeatingColumns(masks),
        scales: parts.scales?.repeatingColumns(masks))
    }
  }

  package func vector(_ parameter: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor
  {
    try source.vector(parameter, on: host)
  }

  package func masks(of logits: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor {
    throw CheckpointError(.missingTensor, "a Llama has no \(logits.name)")
  }

  /// W under every mask, or under what the masks leave.
  private func expanded(
    _ unit: UnitParameters, keeping kept: Bool, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    let matrix = try source.matrix(unit.up[0], on: host)
    guard let logits = unit.maskLogits else { return matrix }
    let bits = try source.masks(of: logits, on: host)
    return StoredMatrix(
      weights: matrix.weights.masked(bits, keeping: kept),
      scales: matrix.scales?.repeatingRows(masks))
  }
}

extension Tensor {
  /// The elements `[d, h]` under each mask of `bits` `[n, d, ceil(h / 8)]`, `[n d, h]`: those whose bit is
  /// `kept`, and zeros.
  fileprivate func masked(_ bits: Tensor, keeping kept: Bool) -> Tensor {
    let count = bits.shape[0]
    let result = Tensor.allocated([count * rows, columns], dataType)
    let (size, stride) = (dataType.byteCount, bits.columns)
    let (from, words, to) = (bytes, bits.bytes, result.bytes)
    for row in 0..<count * rows {
      let start = row % rows * columns * size
      for column in 0..<columns {
        let bit = words[row * stride + column / 8] >> UInt8(column % 8) & 1
        guard (bit == 1) == kept else { continue }
        for byte in 0..<size {
          to[(row * columns + column) * size + byte] = from[start + column * size + byte]
        }
      }
    }
    return result
  }

  /// `count` copies of the rows, one below the other.
  fileprivate func repeatingRows(_ count: Int) -> Tensor {
    let result = Tensor.allocated([count * rows, columns], dataType)
    for copy in 0..<count {
      UnsafeMutableRawBufferPointer(
        rebasing: result.bytes[copy * byteCount..<(copy + 1) * byteCount]
      ).copyMemory(from: UnsafeRawBufferPointer(bytes))
    }
    return result
  }

  /// Rows that are `count` copies of each row.
  fileprivate func repeatingColumns(_ count: Int) -> Tensor {
    let result = Tensor.allocated([rows, count * columns], dataType)
    let size = columns * dataType.byteCount
    for index in 0..<rows * count {
      let row = index / count * size
      UnsafeMutableRawBufferPointer(rebasing: result.bytes[index * size..<(index + 1) * size])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[row..<row + size]))
    }
    return result
  }
}
