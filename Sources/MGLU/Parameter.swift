/// What a parameter is to a model: from it follow how it is drawn, trained and stored.
public enum ParameterRole: Sendable {
  /// The table of token embeddings `[V, h]`.
  case embedding
  /// The weights of a product, `[rows, columns]`.
  case projection
  /// The output projection `[V, h]`, where it is not the embedding.
  case head
  /// The weights of a router `[n_m, h]`: small, and they decide much.
  case router
  /// Mask logits `[n_m, d, h]`.
  case maskLogits
  /// The weight of an RMSNorm.
  case norm
  /// What is added to the result of a projection.
  case bias
}

/// A parameter as a file has it: what is to be known of it before its elements exist.
public struct Parameter: Sendable, Equatable {
  /// As Hugging Face spells it, such as `model.layers.0.mlp.up_proj.weight`.
  public let name: String
  /// Sizes, outermost first.
  public let shape: [Int]
  /// What it is for.
  public let role: ParameterRole
  /// Whether training changes it: all but fixed masks.
  public let isTrained: Bool

  /// A parameter, which exists in memory only where a tensor is laid out for it.
  public init(_ name: String, _ shape: [Int], _ role: ParameterRole, isTrained: Bool = true) {
    self.name = name
    self.shape = shape
    self.role = role
    self.isTrained = isTrained
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Whether weight decay shrinks it.
  public var decays: Bool { isTrained && role != .norm && role != .bias }

  /// Whether it is a factor of products, which may read a narrower copy. Those of masks read what is
  /// stacked of W and its masks.
  public var isReadByProducts: Bool { role != .norm && role != .bias && role != .maskLogits }

  /// Whether inference stores it as `WeightType`.
  public var isPacked: Bool { role == .embedding || role == .projection || role == .head }

  /// The name of the packed masks that may stand in a file for mask logits.
  public var packedMasksName: String? {
    role == .maskLogits ? name.dropLast("mask_logits".count) + "masks" : nil
  }

  /// The name of the FP16 scales that an INT8 matrix has beside it in a file.
  public var scalesName: String { name + "_scale" }
}

extension Parameter {
  /// The deviation of the normal distribution that it is drawn from: 0.01 for mask logits (paper,
  /// section 3), 0.02 for the embedding, 1 / sqrt(3 fan-in) for matrices. Norms start at 1, biases at 0.
  var initialDeviation: Float? {
    switch role {
    case .norm, .bias: nil
    case .maskLogits: 0.01
    case .embedding: 0.02
    case .projection, .head, .router: 1 / (3 * Float(shape.last ?? 1)).squareRoot()
    }
  }

  /// Draws the initial values into `tensor`, which has this parameter's shape.
  ///
  /// Each parameter has a stream of its own, keyed by its name: models of different units that are
  /// drawn from one seed share every parameter they both have. Parts of a stream are drawn side by side.
  package func initialize(_ tensor: Tensor, seed: UInt64, on host: CPUBackend? = nil) {
    guard let deviation = initialDeviation else {
      return tensor.assign(repeatElement(role == .norm ? 1 : 0, count: tensor.count))
    }
    let (stream, elements) = (stableHash(name), tensor.floats)
    func draw(_ range: Range<Int>) {
      var random = Philox(
        seed: seed, purpose: .initialization, step: stream,
        skippingBlocks: UInt64(range.lowerBound / 4))
      for index in range { elements[index] = random.nextNormal() * deviation }
    }
    guard let host else { return draw(0..<tensor.count) }
    host.pool.forEachRange(of: tensor.count, unit: 4, grain: 1 << 13, draw)
  }

  /// FNV-1a of a name: a key that no change of order or of standard library alters.
  private func stableHash(_ name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}

/// The parameters of a feed-forward unit.
public struct UnitParameters: Sendable {
  /// The matrices of the up side, one below the other in memory: W, or a GLU's gate and value.
  public let up: [Parameter]
  /// The logits of masks.
  public let maskLogits: Parameter?
  /// The router of masks.
  public let router: Parameter?

  /// All, in the order of files.
  public var all: [Parameter] { up + [maskLogits, router].compactMap(\.self) }
}

extension FeedForwardConfiguration {
  /// The parameters of the unit, under names that begin with `prefix`.
  public func parameters(prefix: String = "") -> UnitParameters {
    let (d, h) = (intermediateSize, hiddenSize)
    let names = unit.matrices == 2 ? ["gate_proj", "up_proj"] : ["up_proj"]
    let masks = unit.masks
    return UnitParameters(
      up: names.map { Parameter("\(prefix)\($0).weight", [d, h], .projection) },
      maskLogits: masks.map {
        Parameter(
          prefix + "mask_logits", [$0.count, d, h], .maskLogits, isTrained: $0.kind == .learned)
      },
      router: masks?.routerTopK.flatMap { _ in
        Parameter(prefix + "router.weight", [masks?.count ?? 0, h], .router)
      })
  }
}
