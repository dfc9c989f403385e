/// Every parameter of a model, where it belongs: projections as the parameters that lie one below
/// the other in memory and make one product, biases likewise, the others one by one.
///
/// This is the only list of parameters: how they lie in memory, are drawn, decay, are saved, loaded,
/// checked, exported and counted follows from it.
public typealias ParameterTable = DecoderStack<
  [Parameter], [Parameter], Parameter, UnitParameters
>

extension ModelConfiguration {
  /// The parameters, described; their elements do not exist.
  public var parameterTable: ParameterTable {
    let h = hiddenSize
    let table = [vocabularySize, h]
    return ParameterTable(
      embedding: [Parameter("model.embed_tokens.weight", table, .embedding)],
      layers: (0..<layers).map { layer($0) },
      norm: Parameter("model.norm.weight", [h], .norm),
      untiedHead: tiesEmbeddings ? nil : [Parameter("lm_head.weight", table, .head)])
  }

  private func layer(_ index: Int) -> ParameterTable.Layer {
    let (h, d) = (hiddenSize, feedForward.intermediateSize)
    let prefix = "model.layers.\(index)."
    func projection(_ name: String, _ rows: Int, _ columns: Int) -> Parameter {
      Parameter("\(prefix)\(name).weight", [rows, columns], .projection)
    }
    func bias(_ projections: [Parameter]) -> [Parameter] {
      projections.map { Parameter($0.name.dropLast("weight".count) + "bias", [$0.shape[0]], .bias) }
    }
    func norm(_ name: String, _ size: Int) -> Parameter {
      Parameter("\(prefix)\(name).weight", [size], .norm)
    }
    let qkv = [
      projection("self_attn.q_proj", attention.queryWidth, h),
      projection("self_attn.k_proj", attention.kvWidth, h),
      projection("self_attn.v_proj", attention.kvWidth, h),
    ]
    let output = [projection("self_attn.o_proj", h, attention.queryWidth)]
    return ParameterTable.Layer(
      attention: attention(ofLayer: index), inputNorm: norm("input_layernorm", h), qkv: qkv,
      qkvBias: hasQKVBias ? bias(qkv) : nil,
      queryNorm: hasQKNorm ? norm("self_attn.q_norm", attention.headSize) : nil,
      keyNorm: hasQKNorm ? norm("self_attn.k_norm", attention.headSize) : nil,
      output: output, outputBias: hasOutputBias ? bias(output) : nil,
      postAttentionNorm: norm("post_attention_layernorm", h),
      unit: feedForward.parameters(prefix: prefix + "mlp."),
      down: [projection("mlp.down_proj", h, d)])
  }
}

extension ParameterTable.Layer {
  /// All parameters, each as what lies together in memory, in the order of files.
  var inFileOrder: [[Parameter]] {
    var all: [[Parameter]] = []
    _ = map(
      projection: { all.append($0) }, bias: { all.append($0) }, norm: { all.append([$0]) },
      unit: { unit in
        all.append(unit.up)
        all += [unit.maskLogits, unit.router].compactMap { $0.map { [$0] } }
      })
    return all
  }
}

extension ParameterTable {
  /// Every parameter, in the order of files.
  public var parameters: [Parameter] {
    (embedding + layers.flatMap { $0.inFileOrder.flatMap(\.self) } + [norm])
      + (untiedHead ?? [])
  }

  /// What lies together in memory, in the order of the arena: embedding and head, then each layer with
  /// routers behind the matrices, then the final norm.
  func inArena(_ part: ArenaPart) -> [[[Parameter]]] {
    let layers = layers.map { layer in
      let all = layer.inFileOrder
      return all.filter { $0[0].role != .router } + all.filter { $0[0].role == .router }
    }
    let all = [[embedding] + (untiedHead.map { [$0] } ?? [])] + layers + [[[norm]]]
    return all.map { section in section.filter { ArenaPart($0[0]) == part } }
  }
}

/// A contiguous part of the arena of parameters: AdamW, its decay, the gradients and narrow copies
/// each cover one or several.
enum ArenaPart: CaseIterable {
  /// Matrices that products read: trained, with weight decay.
  case products
  /// Learned mask logits: trained, with weight decay.
  case logits
  /// Norms and biases: trained, without weight decay.
  case vectors
  /// Fixed masks.
  case untrained

  /// Whether layers have matrices in it that are trained.
  var isMatrices: Bool { self == .products || self == .logits }

  init(_ parameter: Parameter) {
    self =
      if !parameter.isTrained {
        .untrained
      } else if parameter.isReadByProducts {
        .products
      } else if parameter.decays {
        .logits
      } else {
        .vectors
      }
  }
}

extension ModelConfiguration {
  /// Elements of all weights, masks not included.
  public var weightCount: Int { Self.count(parameterTable.parameters) { $0.role != .maskLogits } }

  /// Mask bits of all layers.
  public var maskBitCount: Int { Self.count(parameterTable.parameters) { $0.role == .maskLogits } }

  /// MiB of the feed-forward blocks, counted as ``deployedByteCount`` is.
  public var mebibytesOfFeedForward: Double {
    let parameters = parameterTable.layers.flatMap { $0.unit.all + $0.down }
    return Double(Self.deployedByteCount(parameters)) / 1_048_576
  }

  /// Bytes of FP16 weights and 1-bit masks, as table 6 of the paper counts them.
  public var deployedByteCount: Int { Self.deployedByteCount(parameterTable.parameters) }

  private static func deployedByteCount(_ parameters: [Parameter]) -> Int {
    2 * count(parameters) { $0.role != .maskLogits }
      + (count(parameters) { $0.role == .maskLogits } + 7) / 8
  }

  private static func count(_ parameters: [Parameter], where counts: (Parameter) -> Bool) -> Int {
    parameters.reduce(0) { $0 + (counts($1) ? $1.count : 0) }
  }
}
