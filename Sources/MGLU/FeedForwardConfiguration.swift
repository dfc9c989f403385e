/// What is wrong with a feed-forward configuration.
public enum ConfigurationProblem: Sendable {
  /// A size is not positive, or does not divide another.
  case size
  /// The mask count is not in 1...16.
  case maskCount
  /// Router and masks do not fit each other.
  case router
  /// Two settings exclude each other.
  case conflict
}

/// An error of a configuration.
public typealias ConfigurationError = Failure<ConfigurationProblem>

/// The shape and kind of a feed-forward block: its unit, activation and sizes.
public struct FeedForwardConfiguration: Sendable, Equatable {
  /// h, the width of the block's input and output.
  public var hiddenSize: Int
  /// d, the width of the intermediate activation.
  public var intermediateSize: Int
  /// Which unit makes the intermediate activation.
  public var unit: FeedForwardUnitKind
  /// The gate activation g.
  public var activation: Activation

  /// Creates a configuration; ``validate()`` checks it.
  public init(
    hiddenSize: Int, intermediateSize: Int, unit: FeedForwardUnitKind,
    activation: Activation = .silu
  ) {
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.unit = unit
    self.activation = activation
  }

  /// Throws what is wrong with the sizes or the masks.
  public func validate() throws(ConfigurationError) {
    guard hiddenSize > 0, intermediateSize > 0 else {
      throw ConfigurationError(
        .size,
        "hidden size \(hiddenSize) and intermediate size \(intermediateSize): both must be "
          + "positive")
    }
    // What follows from the sizes must not overflow.
    let (count, overflow) = hiddenSize.multipliedReportingOverflow(by: intermediateSize)
    guard !overflow, count < 1 << 45 else {
      throw ConfigurationError(
        .size,
        "hidden size \(hiddenSize) and intermediate size \(intermediateSize) multiply to more than any "
          + "machine holds")
    }
    try unit.masks?.validate()
  }

  /// Elements of the up side's weights: h d, or 2 h d for a GLU (paper, table 2).
  public var upWeightCount: Int { parameters().up.reduce(0) { $0 + $1.count } }

  /// Mask bits: n_m h d.
  public var maskBitCount: Int { parameters().maskLogits?.count ?? 0 }

  /// Elements of the router: n_m h, or 0.
  public var routerWeightCount: Int { parameters().router?.count ?? 0 }
}

/// The masks of an MGLU, and what routes between them.
public struct MaskConfiguration: Sendable, Equatable {
  /// Whether masks follow their logits or stay as drawn.
  public enum Kind: String, Sendable, CaseIterable, Codable {
    /// M_i = 1 where L_i > 0, logits trained with the straight-through estimator.
    case learned
    /// Random and frozen, a control (paper, section 5).
    case fixed
  }

  /// n_m, 1 to 16.
  public var count: Int
  /// Learned or fixed.
  public var kind: Kind
  /// An unmasked factor, as a control.
  public var ablation: MaskAblation?
  /// Sum only the K routes with the largest router logits, weighted by their softmax (paper,
  /// appendix B.2); `nil` sums all routes with weight 1, without a router.
  public var routerTopK: Int?

  /// Creates a mask configuration; ``validate()`` checks it.
  public init(
    count: Int, kind: Kind = .learned, ablation: MaskAblation? = nil, routerTopK: Int? = nil
  ) {
    self.count = count
    self.kind = kind
    self.ablation = ablation
    self.routerTopK = routerTopK
  }

  /// The masks of which a router chooses, where there is one.
  var routedCount: Int? { routerTopK.map { _ in count } }

  /// Throws what is wrong with the counts.
  public func validate() throws(ConfigurationError) {
    guard (1...16).contains(count) else {
      throw ConfigurationError(.maskCount, "\(count) masks: expected 1 to 16")
    }
    if let k = routerTopK, !(1...count).contains(k) {
      throw ConfigurationError(
        .router, "a router over the top \(k) of \(count) masks: expected 1 to \(count)")
    }
  }
}
