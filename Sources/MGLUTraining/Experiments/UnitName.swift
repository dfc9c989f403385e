/// The feed-forward units by the field's names: what the activation adds, and the name of
/// the unit (``FeedForwardUnitKind/Name``).
public enum UnitName: String, Sendable, CaseIterable {
  case gelu, glu, swiglu, geglu, reglu, mglu, swimglu, gemglu, remglu
  case sharedSwiGLU = "shared_swiglu"
  case bilinearMGLU = "bilinear-mglu"

  /// The unit of a name, or of the former spelling `shared-swiglu`.
  public init?(_ name: String) {
    self.init(rawValue: name == "shared-swiglu" ? Self.sharedSwiGLU.rawValue : name)
  }

  /// The default number of masks of an MGLU.
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
