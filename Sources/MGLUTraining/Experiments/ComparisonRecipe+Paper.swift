extension ComparisonRecipe {
  /// The figures of the paper (arXiv 2506.23225) for the experiment that a recipe repeats.
  public struct Paper: Sendable, Equatable, Codable {
    /// The section, appendix or table.
    public let source: String
    /// The model and the data of the paper.
    public let scale: String
    /// Validation perplexity by the unit's name; without the units for which the paper has none.
    public let perplexity: [String: Double]?
    /// Hours of training on one H100 by the unit's name, of those that the paper has.
    public let hours: [String: Double]?
    /// The paper's conclusion, where it is not a perplexity.
    public let finding: String?

    /// The paper's perplexity of the unit `name`.
    public func perplexity(of name: String) -> Double? { perplexity?[name] }

    /// The paper's hours of training of the unit `name`.
    package func hours(of name: String) -> Double? { hours?[name] }

    /// The same with units in their own spelling. A figure of a unit outside of `units`
    /// would be shown beside no run: it is refused, as a misspelled one is.
    func checked(against units: [UnitSpecification]) throws(ExperimentError) -> Paper {
      Paper(
        source: source, scale: scale,
        perplexity: try Self.checked(perplexity, "perplexities", against: units, minimum: 1),
        hours: try Self.checked(hours, "hours", against: units, minimum: 0.1), finding: finding)
    }

    private static func checked(
      _ figures: [String: Double]?, _ what: String, against units: [UnitSpecification],
      minimum: Double
    ) throws(ExperimentError) -> [String: Double]? {
      guard let figures else { return nil }
      var checked: [String: Double] = [:]
      // In order: of several mistakes, the error is always the same one.
      for (name, value) in figures.sorted(by: { $0.key < $1.key }) {
        let unit: UnitSpecification
        do { unit = try UnitSpecification(parsing: name) } catch {
          throw ExperimentError(
            .unit, "the paper's \(what): \(error.message)", remedy: error.remedy)
        }
        guard units.contains(unit) else {
          throw ExperimentError(
            .unit,
            "the paper's \(what): unit \"\(name)\" is not in the recipe: expected "
              + units.map(\.description).joined(separator: ", "))
        }
        guard checked[unit.description] == nil else {
          throw ExperimentError(.unit, "the paper's \(what): unit \"\(unit)\" is listed twice")
        }
        guard value >= minimum, value.isFinite else {
          throw ExperimentError(
            .setting,
            "the paper's \(what): \(name) has \(value): expected "
              + "\(minimum == 1 ? "1" : "\(minimum)") or more")
        }
        checked[unit.description] = value
      }
      return checked
    }
  }
}
