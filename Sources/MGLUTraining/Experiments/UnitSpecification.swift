/// A feed-forward unit in a word: `gelu`, `swimglu:4`, `swimglu:4/fixed`, `swimglu:4/top-2`,
/// `swimglu:1/no-gate-mask`.
///
/// After the name come the masks of an MGLU, and behind slashes what differs: `fixed`, `top-K`,
/// `no-gate-mask` or `no-value-mask`.
public struct UnitSpecification: Sendable, Hashable {
  /// The specification as it is spelled: equal units have equal texts.
  public let text: String
  /// The unit.
  public let unit: FeedForwardUnitKind
  /// Its gate activation.
  public let activation: Activation

  public static func == (a: Self, b: Self) -> Bool { a.text == b.text }
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }

  /// The unit that `text` names.
  public init(parsing text: String) throws(ExperimentError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let head = parts[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard let name = UnitName(head[0]), head.count <= 2 else {
      throw ExperimentError(
        .unit,
        "unit \"\(text)\": expected "
          + UnitName.allCases.map(\.rawValue).joined(separator: ", "),
        remedy: "masks follow a colon, as in swimglu:4")
    }
    activation = name.activation
    guard var masks = name.unit.masks else {
      guard head.count == 1, parts.count == 1 else {
        throw ExperimentError(
          .unit, "unit \"\(text)\": \(name.rawValue) has no masks",
          remedy: "choose an MGLU, such as swimglu:4, or leave out what follows the name")
      }
      self.text = name.rawValue
      unit = name.unit
      return
    }
    if head.count == 2 {
      guard let count = Int(head[1]) else {
        throw ExperimentError(
          .unit, "unit \"\(text)\": \"\(head[1])\" masks: expected a number, as in swimglu:4")
      }
      masks.count = count
    }
    for part in parts.dropFirst() { try Self.apply(part, to: &masks, of: text) }
    do { try masks.validate() } catch {
      throw ExperimentError(.unit, "unit \"\(text)\": \(error.message)", remedy: error.remedy)
    }
    unit = .mglu(masks)
    self.text = "\(name.rawValue):\(masks.count)" + Self.suffix(masks)
  }

  /// The units of a list with commas between them, each once, at least one.
  public static func list(_ text: String) throws(ExperimentError) -> [UnitSpecification] {
    var units: [UnitSpecification] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let unit = try UnitSpecification(parsing: part.filter { $0 != " " })
      guard !units.contains(unit) else {
        throw ExperimentError(.unit, "unit \"\(unit.text)\" is listed twice")
      }
      units.append(unit)
    }
    return units
  }

  /// The unit as a folder's name.
  var folderName: String {
    String(text.map { ":/_".contains($0) ? "-" : $0 })
  }

  private static func apply(
    _ part: String, to masks: inout MaskConfiguration, of text: String
  ) throws(ExperimentError) {
    switch part {
    case "fixed": masks.kind = .fixed
    case "no-gate-mask": masks.ablation = .noGateMask
    case "no-value-mask": masks.ablation = .noValueMask
    default:
      guard part.hasPrefix("top-"), let k = Int(part.dropFirst(4)) else {
        throw ExperimentError(
          .unit,
          "unit \"\(text)\": \"\(part)\": expected fixed, top-K, no-gate-mask or no-value-mask")
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
