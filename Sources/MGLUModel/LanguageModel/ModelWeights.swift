/// The parameters of one block: see `DecoderLayer`.
public typealias LayerWeights = DecoderLayer<Tensor, Tensor, Tensor, any FeedForwardUnit>

/// The parameters of a model as views of one arena, which they own.
///
/// Matrices that products read come first, then mask logits, then norms and biases, then what is not
/// trained (fixed masks): AdamW, its decay, the gradients and narrow copies each cover one
/// contiguous part.
public struct ModelWeights: Sendable {
  /// Embedding and head `[V, h]`, V padded with rows of zero where a backend asks for it, the blocks
  /// and the final norm.
  public let stack: DecoderStack<Tensor, Tensor, Tensor, any FeedForwardUnit>
  /// Every parameter under its Hugging Face name, in the order of files. Some are parts of a wider
  /// matrix: queries, keys and values of one, gate and value of another.
  public let named: [NamedTensor]

  /// Every matrix that products read: trained, with weight decay.
  public let productBytes: Range<Int>
  /// All learned mask logits: trained, with weight decay.
  public let logitBytes: Range<Int>
  /// Every norm and bias: trained, without weight decay.
  public let vectorBytes: Range<Int>
  /// The matrices of each layer that products read, its mask logits, and its fixed masks, where there are
  /// any; not its norms and biases. Trained ones begin and end at blocks of the sum of squares, so that
  /// the gradient of a layer is complete by itself.
  package let layerBytes: [[Range<Int>]]

  /// The token embedding `[V, h]`.
  public var embedding: Tensor { stack.embedding }
  /// The blocks, first to last.
  public var layers: [LayerWeights] { stack.layers }
  /// The final norm `[h]`.
  public var norm: Tensor { stack.norm }
  /// The output projection `[V, h]`: the embedding where the two are tied.
  public var head: Tensor { stack.head }
  /// The memory that all of them lie in.
  public var arena: Arena { norm.arena }

  /// Lays the parameters of `configuration` out, with a vocabulary padded to a multiple of
  /// `vocabularyMultiple`.
  public init(
    _ configuration: ModelConfiguration, vocabularyMultiple: Int = 1,
    in layout: inout ArenaLayout
  ) {
    let table = configuration.parameterTable
    // By the name of the first parameter of each.
    var tensors: [String: Tensor] = [:]
    var ends: [ArenaPart: Int] = [:]
    var layerBytes = [[Range<Int>]](repeating: [], count: table.layers.count)
    for part in ArenaPart.allCases {
      for (index, section) in table.inArena(part).enumerated() where !section.isEmpty {
        let start = layout.byteCount
        for parameters in section {
          var shape = parameters[0].shape
          shape[0] = parameters.reduce(0) { $0 + $1.shape[0] }
          if [.embedding, .head].contains(parameters[0].role) {
            shape[0] = (shape[0] + vocabularyMultiple - 1) / vocabularyMultiple * vocabularyMultiple
          }
          tensors[parameters[0].name] = layout.tensor(shape)
        }
        if part.isMatrices { layout.align(to: 4 * CPUBackend.squareBlock) }
        if part != .vectors, table.layers.indices.contains(index - 1) {
          layerBytes[index - 1].append(start..<layout.byteCount)
        }
      }
      ends[part] = layout.byteCount
    }
    self.layerBytes = layerBytes
    productBytes = 0..<ends[.products]!
    logitBytes = productBytes.upperBound..<ends[.logits]!
    vectorBytes = logitBytes.upperBound..<ends[.vectors]!
    func tensor(_ parameters: [Parameter]) -> Tensor { tensors[parameters[0].name]! }
    stack = table.map(
      projection: tensor, bias: tensor, norm: { tensor([$0]) },
      unit: { unit in
        configuration.feedForward.unit(
          weight: tensor(unit.up), maskLogits: unit.maskLogits.map { tensor([$0]) },
          router: unit.router.map { tensor([$0]) })
      })
    // What follows the first parameter of a matrix lies below it.
    var (whole, row) = (tensor(table.embedding), 0)
    named = table.parameters.map { parameter in
      if let first = tensors[parameter.name] { (whole, row) = (first, 0) }
      defer { row += parameter.shape[0] }
      return NamedTensor(parameter, whole[row..<row + parameter.shape[0]])
    }
  }

  private init(
    _ other: ModelWeights, stack: DecoderStack<Tensor, Tensor, Tensor, any FeedForwardUnit>
  ) {
    self.stack = stack
    (named, productBytes) = (other.named, other.productBytes)
    (logitBytes, vectorBytes) = (other.logitBytes, other.vectorBytes)
    layerBytes = other.layerBytes
  }

  /// The same weights at other places: those that products read, and the others.
  package func moving(products: (Tensor) -> Tensor, others: (Tensor) -> Tensor) -> ModelWeights {
    ModelWeights(
      self,
      stack: stack.map(
        projection: products, bias: others, norm: others,
        unit: { $0.moving(products: products, others: others) }))
  }

  /// The parts of `bytes` that passes read in the type of products, and those that they read as float32:
  /// norms, biases, mask logits, and W of an MGLU, which is read under its masks.
  ///
  /// - Parameters:
  ///   - bytes: A stretch of the arena.
  ///   - type: The type of products. Where that is float32, all is.
  package func bytesRead(
    in bytes: Range<Int>, productType type: DataType
  ) -> (narrow: [Range<Int>], exact: [Range<Int>]) {
    if type == .float32 { return ([], [bytes]) }
    var exact = layers.compactMap(\.unit.masked).map { unit in
      unit.weight.byteOffset..<unit.weight.byteOffset + unit.weight.byteCount
    }.sorted { $0.lowerBound < $1.lowerBound }
    exact.append(productBytes.upperBound..<Int.max)
    var narrow: [Range<Int>] = []
    var end = productBytes.lowerBound
    for exact in exact {
      narrow.append(end..<exact.lowerBound)
      end = exact.upperBound
    }
    func parts(_ ranges: [Range<Int>]) -> [Range<Int>] {
      ranges.map { bytes.clamped(to: $0) }.filter { !$0.isEmpty }
    }
    return (parts(narrow), parts(exact))
  }
}

/// A parameter and its elements.
public struct NamedTensor: Sendable {
  /// What it is.
  public let parameter: Parameter
  /// The view.
  public let tensor: Tensor

  /// As Hugging Face spells it, such as `model.layers.0.mlp.up_proj.weight`.
  public var name: String { parameter.name }

  init(_ parameter: Parameter, _ tensor: Tensor) {
    self.parameter = parameter
    self.tensor = tensor
  }
}
