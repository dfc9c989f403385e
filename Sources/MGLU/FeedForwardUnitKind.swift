/// The units of the paper, by what makes the intermediate activation a `[d]` of an input x `[h]`.
public enum FeedForwardUnitKind: Sendable, Equatable {
  /// LU: a = g(x W^T), the plain feed-forward layer.
  case lu
  /// GLU: a = g(x Wg^T) (.) (x Wv^T).
  case glu
  /// Shared GLU, a control: a = g(x W^T) (.) (x W^T).
  case sharedGLU
  /// MGLU: a = sum_i g(x (M_i (.) W)^T) (.) (x ((1 - M_i) (.) W)^T), one W under n_m masks.
  case mglu(MaskConfiguration)

  /// The one spelling of each unit, for files, the command line and reports.
  public enum Name: String, Sendable, CaseIterable, Codable {
    case lu, glu
    case sharedGLU = "shared_glu"
    case mglu
  }

  /// How the unit is spelled.
  public var name: Name {
    switch self {
    case .lu: .lu
    case .glu: .glu
    case .sharedGLU: .sharedGLU
    case .mglu: .mglu
    }
  }

  /// The unit of that name, with `masks` where it is an MGLU.
  public init<E: Error>(
    _ name: Name, masks: () throws(E) -> MaskConfiguration
  ) throws(E) {
    switch name {
    case .lu: self = .lu
    case .glu: self = .glu
    case .sharedGLU: self = .sharedGLU
    case .mglu: self = .mglu(try masks())
    }
  }

  /// How the unit's streams combine.
  public var gating: Gating {
    switch self {
    case .lu: .linear
    case .glu: .gated
    case .sharedGLU: .shared
    case .mglu(let masks): .masked(count: masks.count, ablation: masks.ablation)
    }
  }

  /// The matrices `[d, h]` of the up side: a GLU has the gate's and the value's.
  public var matrices: Int { self == .glu ? 2 : 1 }

  /// The masks of an MGLU.
  public var masks: MaskConfiguration? { if case .mglu(let masks) = self { masks } else { nil } }
}
