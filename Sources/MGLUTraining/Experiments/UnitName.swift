/// The feed-forward units by the field's names.
public enum UnitName: String, Sendable, CaseIterable {
  case gelu, glu, swiglu, geglu, reglu, mglu, swimglu, gemglu, remglu
  case sharedSwiGLU = "shared-swiglu"
  case bilinearMGLU = "bilinear-mglu"

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
    case .gelu: .linear
    case .glu, .swiglu, .geglu, .reglu: .gated
    case .sharedSwiGLU: .sharedGated
    case .mglu, .swimglu, .gemglu, .remglu, .bilinearMGLU:
      .masked(MaskConfiguration(count: Self.defaultMasks))
    }
  }
}
