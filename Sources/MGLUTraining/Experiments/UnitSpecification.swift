/// A feed-forward unit in a word: `gelu`, `swimglu:4`, `swimglu:4/fixed`, `swimglu:4/top-2`,
/// `swimglu:1/no-gate-mask`.
///
/// After the name come the masks of an MGLU, and behind slashes the variants: `fixed`, `top-K`,
/// `no-gate-mask` or `no-value-mask`.
public struct UnitSpecification: Sendable, Hashable, CustomStringConvertible {
  /// The name in its one spelling: equal units have equal descriptions.
  public let description: String
  /// The unit.
  public let unit: FeedForwardUnitKind
  /// Its gate activation.
  public let activation: Activation

  public static func == (a: Self, b: Self) -> Bool { a.description == b.description }
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }

  /// The unit that `spelling` names.
  public init(parsing spelling: String) throws(ExperimentError) {
    let parts = spelling.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let head = parts[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard let name = UnitName(rawValue: head[0]), head.count <= 2 else {
      throw ExperimentError(
        .unit,
        "unit \"\(spelling)\": expected "
          + UnitName.allCases.map(\.rawValue).joined(separator: ", "),
        remedy: "masks follow a colon, as in swimglu:4")
    }
    activation = name.activation
    guard var masks = name.unit.masks else {
      guard head.count == 1, parts.count == 1 else {
        throw ExperimentError(
          .unit, "unit \"\(spelling)\": \(name.rawValue) has no masks",
          remedy: "choose an MGLU, such as swimglu:4, or leave out the rest after the name")
      }
      description = name.rawValue
      unit = name.unit
      return
    }
    if head.count == 2 {
      guard let count = Int(head[1]) else {
        throw ExperimentError(
          .unit, "unit \"\(spelling)\": \"\(head[1])\" masks: expected a number, as in swimglu:4")
      }
      masks.count = count
    }
    for part in parts.dropFirst() {
      // Of two of a kind the second alone would count.
      guard
        masks.ablation == nil || !part.hasSuffix("-mask"),
        masks.routerTopK == nil || !part.hasPrefix("top-")
      else {
        throw ExperimentError(
          .unit, "unit \"\(spelling)\": \"\(part)\" beside another of its kind: expected one")
      }
      try Self.apply(part, to: &masks, of: spelling)
    }
    do { try masks.validate() } catch {
      throw ExperimentError(.unit, "unit \"\(spelling)\": \(error.message)", remedy: error.remedy)
    }
    unit = .mglu(masks)
    description = "\(name.rawValue):\(masks.count)" + Self.suffix(masks)
  }

  /// The units of a list with commas between them, each once, at least one.
  public static func list(_ names: String) throws(ExperimentError) -> [UnitSpecification] {
    var units: [UnitSpecification] = []
    for part in names.split(separator: ",", omittingEmptySubsequences: false) {
      let unit = try UnitSpecification(parsing: part.filter { $0 != " " })
      guard !units.contains(unit) else {
        throw ExperimentError(.unit, "unit \"\(unit)\" is listed twice")
      }
      units.append(unit)
    }
    return units
  }

  /// The unit as a folder's name.
  var folderName: String {
    String(description.map { ":/_".contains($0) ? "-" : $0 })
  }

  private static func apply(
    _ part: String, to masks: inout MaskConfiguration, of spelling: String
  ) throws(ExperimentError) {
    switch part {
    case "fixed": masks.kind = .fixed
    case "no-gate-mask": masks.ablation = .noGateMask
    case "no-value-mask": masks.ablation = .noValueMask
    default:
      guard part.hasPrefix("top-"), let k = Int(part.dropFirst(4)) else {
        throw ExperimentError(
          .unit,
          "unit \"\(spelling)\": \"\(part)\": expected fixed, top-K, no-gate-mask or no-value-mask")
      }
      masks.routerTopK = k
    }
  }

  private static func suffix(_ masks: MaskConfiguration) -> String {
    (masks.kind == .fixed ? "/fixed" : "")
      + (masks.ablation.map { $0 == .noGateMask ? "/no-gate-mask" : "/no-value-mask" } ?? "")
      + (masks.routerTopK.map { "/top-\($0)" } ?? "")
  }
}
