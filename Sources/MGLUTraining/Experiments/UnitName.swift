/// A feed-forward unit by the field's name, such as `gelu`, `swiglu`, `shared_swiglu` or `swimglu`.
///
/// There is one for every kind of unit and activation. An LU has the name of its activation.
public struct UnitName: RawRepresentable, Sendable, Hashable, CaseIterable {
  /// The default number of masks of an MGLU.
  public static let defaultMasks = 4

  /// Every name, those of a kind together. Of activations that share a prefix the first has the
  /// names of gated units.
  public static let allCases: [UnitName] = {
    let kinds: [FeedForwardUnitKind] = [
      .lu, .glu, .sharedGLU, .mglu(MaskConfiguration(count: defaultMasks)),
    ]
    return kinds.flatMap { unit in Activation.allCases.map { UnitName(unit, $0) } }
      .reduce(into: []) { names, name in
        if !names.contains(where: { $0.rawValue == name.rawValue }) { names.append(name) }
      }
  }()

  /// The name as it is typed.
  public let rawValue: String
  /// The unit, an MGLU with ``defaultMasks``.
  public let unit: FeedForwardUnitKind
  /// The gate activation.
  public let activation: Activation

  /// The name of that spelling, or `nil`. A hyphen in place of the underscore, as in the former
  /// spelling `shared-swiglu`, is understood.
  public init?(rawValue: String) {
    func isNamed(_ name: Self) -> Bool {
      name.rawValue == rawValue || name.rawValue.replacing("_", with: "-") == rawValue
    }
    guard let found = Self.allCases.first(where: isNamed) else { return nil }
    self = found
  }

  private init(_ unit: FeedForwardUnitKind, _ activation: Activation) {
    let title = unit.title(activation)
    rawValue =
      unit == .lu
      ? activation.rawValue
      : String(title.lowercased().map { $0 == " " ? unit == .sharedGLU ? "_" : "-" : $0 })
    (self.unit, self.activation) = (unit, activation)
  }

  public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }
  public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}

extension FeedForwardUnitKind {
  /// The field's name of the unit under an activation, without what is said of its masks: `SwiGLU`,
  /// `shared SwiGLU`, `SwiMGLU`, `LU (gelu)`.
  package func title(_ activation: Activation) -> String {
    switch self {
    case .lu: "LU (\(activation.rawValue))"
    case .glu: activation.unitPrefix + "GLU"
    case .sharedGLU: "shared \(activation.unitPrefix)GLU"
    case .mglu: activation.unitPrefix + "MGLU"
    }
  }
}

extension Activation {
  /// What the names of its gated units begin with.
  fileprivate var unitPrefix: String {
    switch self {
    case .sigmoid: ""
    case .silu: "Swi"
    case .gelu, .geluTanh: "Ge"
    case .relu: "Re"
    case .relu2: "Re2"
    case .identity: "bilinear "
    }
  }
}
