/// A comparison in a file: its units, and how they are trained at one scale or another.
public struct ComparisonRecipe: Sendable, Codable {
  /// The heading of the report.
  public let title: String
  /// Specifications of units, the first to compare with.
  public let units: [String]
  /// Whether d is widened to the first unit's weights.
  public let matchParameters: Bool?
  /// Preset, steps, seeds, learning rates and the like, by the scale's name.
  public let scales: [String: ComparisonRequest]
  /// The paper's figures of the same experiment.
  public private(set) var paper: Paper?

  /// The recipe in the file at `path`.
  public init(contentsOf path: String) throws {
    guard let recipe = try ExperimentFile.read(ComparisonRecipe.self, from: path) else {
      throw ExperimentError(
        .malformed, "\(path): no such file",
        remedy: "give a recipe, such as Recipes/mask-counts.json")
    }
    self = recipe
    do {
      paper = try recipe.paper?.checked(
        against: UnitSpecification.list(units.joined(separator: ",")))
    } catch {
      throw ExperimentError(error.code, "\(path): \(error.message)", remedy: error.remedy)
    }
  }

  /// The recipe's request at `scale`.
  public func request(scale: String) throws(ExperimentError) -> ComparisonRequest {
    guard var request = scales[scale] else {
      throw ExperimentError(
        .setting,
        "the recipe has no scale \"\(scale)\": expected "
          + scales.keys.sorted().joined(separator: " or "))
    }
    request.units = request.units ?? units
    request.matchParameters = request.matchParameters ?? matchParameters
    return request
  }
}
