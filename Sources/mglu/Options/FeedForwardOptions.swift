import ArgumentParser
import MGLUTraining

/// `--ffn` and the options of masks.
struct FeedForwardOptions: ParsableArguments {
  enum Ablation: String, CaseIterable, ExpressibleByArgument {
    case noGateMask = "no-gate-mask"
    case noValueMask = "no-value-mask"

    var ablation: MaskAblation { self == .noGateMask ? .noGateMask : .noValueMask }
  }

  @Option(help: "Feed-forward unit.")
  var ffn: UnitName?
  @Option(help: "Masks of an MGLU, 1 to 16 (default: \(UnitName.defaultMasks)).") var masks: Int?
  @Flag(help: "Keep the masks as drawn, as a control.") var fixedMasks = false
  @Option(help: "Leave one factor unmasked, as a control.")
  var ablation: Ablation?
  @Option(help: "Sum only the K masks that a router chooses for each token.")
  var routerTopK: Int?

  /// Whether no option gives a part of the unit.
  var isEmpty: Bool {
    ffn == nil && masks == nil && !fixedMasks && ablation == nil && routerTopK == nil
  }

  /// Applies the given options; without `--ffn` the unit stays.
  func apply(to configuration: inout FeedForwardConfiguration) throws(ConfigurationError) {
    if let ffn {
      configuration.unit = ffn.unit
      configuration.activation = ffn.activation
    }
    guard var mask = configuration.unit.masks else {
      guard masks == nil, !fixedMasks, ablation == nil, routerTopK == nil else {
        throw ConfigurationError(
          .conflict, "\(ffn?.rawValue ?? "this model") has no masks",
          remedy: "choose an MGLU, such as --ffn swimglu, or leave out the options of masks")
      }
      return
    }
    mask.count = masks ?? mask.count
    if fixedMasks { mask.kind = .fixed }
    mask.ablation = ablation?.ablation ?? mask.ablation
    mask.routerTopK = routerTopK ?? mask.routerTopK
    configuration.unit = .mglu(mask)
    try configuration.validate()
  }
}

extension UnitName: ExpressibleByArgument {}
