extension ComparisonRecipe {
  /// The figures of the paper (arXiv 2506.23225) for the experiment that a recipe repeats.
  public struct Paper: Sendable, Equatable, Codable {
    /// The section, appendix or table.
    public let source: String
    /// The model and the data of the paper.
    public let scale: String
    /// Validation perplexity by the unit's name; without the units for which the paper has none.
    public let perplexity: [String: Double]?
    /// The paper's conclusion, where it is not a perplexity.
    public let finding: String?

    /// The paper's perplexity of the unit `name`.
    public func perplexity(of name: String) -> Double? { perplexity?[name] }

    /// The same with units in their own spelling. A perplexity of a unit outside of `units`
    /// would be shown beside no run: it is refused, as a misspelled one is.
    func checked(against units: [UnitSpecification]) throws(ExperimentError) -> Paper {
      var checked: [String: Double] = [:]
      // In order: of several mistakes, the error is always the same one.
      for (name, value) in (perplexity ?? [:]).sorted(by: { $0.key < $1.key }) {
        let unit: UnitSpecification
        do { unit = try UnitSpecification(parsing: name) } catch {
          throw ExperimentError(
            .unit, "the paper's perplexities: \(error.message)", remedy: error.remedy)
        }
        guard units.contains(unit) else {
          throw ExperimentError(
            .unit,
            "the paper's perplexities: unit \"\(name)\" is not in the recipe: expected "
              + units.map(\.description).joined(separator: ", "))
        }
        guard checked[unit.description] == nil else {
          throw ExperimentError(
            .unit, "the paper's perplexities: unit \"\(unit)\" is listed twice")
        }
        guard value >= 1, value.isFinite else {
          throw ExperimentError(
            .setting, "the paper's perplexities: \(name) has \(value): expected 1 or more")
        }
        checked[unit.description] = value
      }
      return Paper(
        source: source, scale: scale, perplexity: perplexity == nil ? nil : checked,
        finding: finding)
    }
  }
}
