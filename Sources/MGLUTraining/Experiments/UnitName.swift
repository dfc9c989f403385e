/// The feed-forward units by the field's names: what the activation adds, and the name of
/// the unit (``FeedForwardUnitKind/Name``).
public enum UnitName: String, Sendable, CaseIterable {
  case gelu, glu, swiglu, geglu, reglu, mglu, swimglu, gemglu, remglu
  case sharedSwiGLU = "shared_swiglu"
  case bilinearMGLU = "bilinear-mglu"

  /// The name that is spelled `text`, be it as it was spelled once.
  public init?(_ text: String) {
    self.init(rawValue: text == "shared-swiglu" ? Self.sharedSwiGLU.rawValue : text)
  }

  /// Masks of an MGLU of which nothing else was said.
  public static let defaultMasks = 4

  /// The gate activation.
  public var activation: Activation {
    switch self {
    case .glu, .mglu: .sigmoid
    case .swiglu, .sharedSwiGLU, .swimglu: .silu
    case .gelu, .geglu, .gemglu: .gelu
    case .reglu, .remglu: .relu
    case .bilinearMGLU: .identity
    }
  }

  /// The unit, an MGLU with ``defaultMasks``.
  public var unit: FeedForwardUnitKind {
    switch self {
    case .gelu: .lu
    case .glu, .swiglu, .geglu, .reglu: .glu
    case .sharedSwiGLU: .sharedGLU
    case .mglu, .swimglu, .gemglu, .remglu, .bilinearMGLU:
      .mglu(MaskConfiguration(count: Self.defaultMasks))
    }
  }
}
