/// What one of several ranks has of a model that they compute together (tensor parallelism as in
/// Megatron-LM, arXiv 1909.08053).
///
///     y = x + sum_r attention_r(norm(x) qkv_r^T) output_r^T
///     result = y + sum_r unit_r(norm(y)) down_r^T
///
/// A rank has some key-value heads with the query heads that read them, and some of the columns d of the
/// intermediate activation: rows of the matrices before them, masks included, and columns of the matrices
/// behind them. Embedding, head, norms, routers and the bias of attention's output are whole on each rank.
/// The parts differ in size by one unit of what can be cut.
struct ModelShare {
  /// The shape of the share, which is that of a model by itself.
  let configuration: ModelConfiguration
  /// The parameters of the whole model, by name.
  private let whole: [String: Parameter]
  private let cuts: [String: Cut]

  /// The part of a parameter that a share has.
  enum Cut {
    case rows(Range<Int>)
    case columns(Range<Int>)
  }

  /// The share of one of `size` ranks.
  ///
  /// - Throws: `ConfigurationProblem.size` where there are more ranks than shares.
  init(of model: ModelConfiguration, rank: Int, size: Int) throws(ConfigurationError) {
    let attention = model.attention
    let group = attention.heads / attention.kvHeads
    // Columns of attention are cut between groups of INT8 weights, those of units between cells.
    var (heads, columns) = (1, 64)
    while heads * group * attention.headSize % WeightType.groupSize != 0 { heads += 1 }
    let parts = [
      (heads, attention.kvHeads, "key-value heads"),
      (columns, model.feedForward.intermediateSize, "intermediate columns"),
    ]
    for (unit, count, name) in parts where (count + unit - 1) / unit < size {
      throw ConfigurationError(
        .size, "\(size) ranks for \(count) \(name), which are shared out \(unit) at a time",
        remedy: "choose at most \((count + unit - 1) / unit) ranks")
    }
    func range(_ unit: Int, _ count: Int) -> Range<Int> {
      let units = (count + unit - 1) / unit
      return unit * (units * rank / size)..<min(count, unit * (units * (rank + 1) / size))
    }
    let kvHeads = range(heads, attention.kvHeads)
    let d = range(columns, model.feedForward.intermediateSize)
    var share = model
    (share.attention.heads, share.attention.kvHeads) = (kvHeads.count * group, kvHeads.count)
    share.feedForward.intermediateSize = d.count
    configuration = share

    func elements(_ heads: Range<Int>, _ size: Int) -> Range<Int> {
      heads.lowerBound * size..<heads.upperBound * size
    }
    let keys = elements(kvHeads, attention.headSize)
    let queries = elements(keys, group)
    let table = model.parameterTable
    whole = Dictionary(uniqueKeysWithValues: table.parameters.map { ($0.name, $0) })
    var cuts: [String: Cut] = [:]
    for layer in table.layers {
      for parameters in [layer.qkv, layer.qkvBias ?? []] {
        for (parameter, range) in zip(parameters, [queries, keys, keys]) {
          cuts[parameter.name] = .rows(range)
        }
      }
      cuts[layer.output[0].name] = .columns(queries)
      for parameter in layer.unit.up { cuts[parameter.name] = .rows(d) }
      if let logits = layer.unit.maskLogits { cuts[logits.name] = .rows(d) }
      cuts[layer.down[0].name] = .columns(d)
    }
    self.cuts = cuts
  }

  /// The parameter of the whole model that one of the share is cut of, and how.
  func cut(_ parameter: Parameter) -> (whole: Parameter, cut: Cut?) {
    (whole[parameter.name] ?? parameter, cuts[parameter.name])
  }
}

/// The weights of a share, cut of those of the whole model as they are asked for.
struct SharedWeights: WeightSource {
  let whole: any WeightSource
  let share: ModelShare

  var weightType: WeightType? { whole.weightType }

  func matrix(
    _ parameter: Parameter, on host: CPUBackend
  ) throws(CheckpointError) -> StoredMatrix {
    let (parameter, cut) = share.cut(parameter)
    let matrix = try whole.matrix(parameter, on: host)
    return switch cut {
    case .rows(let range): matrix.rows(range)
    case .columns(let range): matrix.columns(range, on: host)
    case nil: matrix
    }
  }

  func vector(_ parameter: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor {
    let (parameter, cut) = share.cut(parameter)
    let vector = try whole.vector(parameter, on: host)
    return if case .rows(let range) = cut { vector[range] } else { vector }
  }

  func masks(of logits: Parameter, on host: CPUBackend) throws(CheckpointError) -> Tensor {
    let (logits, cut) = share.cut(logits)
    let masks = try whole.masks(of: logits, on: host)
    guard case .rows(let range) = cut else { return masks }
    let (count, rows, bytes) = (masks.shape[0], masks.shape[1], masks.shape[2])
    let part = host.allocate { $0.tensor([count, range.count, bytes], .uint8) }
    for mask in 0..<count {
      host.copy(
        masks[mask..<mask + 1].reshaped([rows, bytes])[range],
        into: part[mask..<mask + 1].reshaped([range.count, bytes]))
    }
    return part
  }
}
