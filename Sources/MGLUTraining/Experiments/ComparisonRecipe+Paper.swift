extension ComparisonRecipe {
  /// What the paper (arXiv 2506.23225) says of the experiment that a recipe repeats.
  public struct Paper: Sendable, Equatable, Codable {
    /// The section, appendix or table.
    public let source: String
    /// The model and the text that the paper trained on.
    public let scale: String
    /// Validation perplexity by the unit's text; units of which the paper tells none are left out.
    public let perplexity: [String: Double]?
    /// What the paper concludes, where it is not a perplexity.
    public let finding: String?

    /// The paper's perplexity of the unit that `text` spells.
    public func perplexity(of text: String) -> Double? { perplexity?[text] }

    /// The same with units as they spell themselves. A perplexity of a unit that is none of `units`
    /// would be shown beside no run: it is refused, as a misspelled one is.
    func checked(against units: [UnitSpecification]) throws(ExperimentError) -> Paper {
      var checked: [String: Double] = [:]
      // In order: of several mistakes the same one is told each time.
      for (text, value) in (perplexity ?? [:]).sorted(by: { $0.key < $1.key }) {
        let unit: UnitSpecification
        do { unit = try UnitSpecification(parsing: text) } catch {
          throw ExperimentError(
            .unit, "the paper's perplexities: \(error.message)", remedy: error.remedy)
        }
        guard units.contains(unit) else {
          throw ExperimentError(
            .unit,
            "the paper's perplexities: unit \"\(text)\" is none of the recipe's: expected "
              + units.map(\.text).joined(separator: ", "))
        }
        guard checked[unit.text] == nil else {
          throw ExperimentError(
            .unit, "the paper's perplexities: unit \"\(unit.text)\" is listed twice")
        }
        guard value >= 1, value.isFinite else {
          throw ExperimentError(
            .setting, "the paper's perplexities: \(text) has \(value): expected 1 or more")
        }
        checked[unit.text] = value
      }
      return Paper(
        source: source, scale: scale, perplexity: perplexity == nil ? nil : checked,
        finding: finding)
    }
  }
}
