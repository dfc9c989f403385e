import MGLUTraining

extension FeedForwardConfiguration {
  /// The field's name of the unit.
  package var name: String { Self.name(of: unit, activation) }

  static func name(of unit: FeedForwardUnitKind, _ activation: Activation) -> String {
    let prefix =
      switch activation {
      case .sigmoid: ""
      case .silu: "Swi"
      case .gelu, .geluTanh: "Ge"
      case .relu: "Re"
      case .identity: "bilinear "
      }
    switch unit {
    case .lu: return "LU (\(activation.rawValue))"
    case .glu: return prefix + "GLU"
    case .sharedGLU: return "shared \(prefix)GLU"
    case .mglu(let masks):
      var name = "\(prefix)MGLU, n_m = \(masks.count)"
      if masks.kind == .fixed { name += ", fixed masks" }
      if let ablation = masks.ablation {
        name += ablation == .noGateMask ? ", no gate mask" : ", no value mask"
      }
      if let k = masks.routerTopK { name += ", top \(k)" }
      return name
    }
  }
}

extension UnitSpecification {
  /// The field's name of the unit that a specification spells.
  static func title(of unit: String) -> String {
    guard let unit = try? UnitSpecification(parsing: unit) else { return unit }
    return FeedForwardConfiguration.name(of: unit.unit, unit.activation)
  }
}
