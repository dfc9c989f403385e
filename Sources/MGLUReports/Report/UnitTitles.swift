import MGLUTraining

extension FeedForwardConfiguration {
  /// The field's name of the unit.
  package var name: String { Self.name(of: unit, activation) }

  static func name(of unit: FeedForwardUnitKind, _ activation: Activation) -> String {
    var name = unit.title(activation)
    guard case .mglu(let masks) = unit else { return name }
    name += ", n_m = \(masks.count)"
    if masks.kind == .fixed { name += ", fixed masks" }
    if let ablation = masks.ablation {
      name += ablation == .noGateMask ? ", no gate mask" : ", no value mask"
    }
    if let k = masks.routerTopK { name += ", top \(k)" }
    return name
  }
}

extension UnitSpecification {
  /// The field's name of the unit that a specification spells.
  static func title(of unit: String) -> String {
    guard let unit = try? UnitSpecification(parsing: unit) else { return unit }
    return FeedForwardConfiguration.name(of: unit.unit, unit.activation)
  }
}
