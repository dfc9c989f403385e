import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct RecipeTests {
  private static let folder = RepositoryFolder.root + "/Recipes"

  static let recipes = (try? Folder.names(in: folder)) ?? []

  @Test(arguments: recipes, ["nano", "paper"])
  func everyRecipeIsAPlan(name: String, scale: String) throws {
    let recipe = try ComparisonRecipe(contentsOf: Self.folder + "/" + name)
    let plan = try recipe.request(scale: scale).plan(tokenizer: .bytes)
    try plan.validate()
    #expect(plan.units.count >= 3 && plan.settings.steps >= 2000)
    let tokens = scale == "nano" ? 768 : name == "large.json" ? 512 * 4096 : 512 * 1024
    #expect(plan.settings.tokensPerStep == tokens)
    #expect(throws: ExperimentError.self) { try recipe.request(scale: "enormous") }
  }

  /// The paper's figure of a unit is one figure, whichever recipe repeats it.
  @Test func recipesAgreeOnThePaper() throws {
    var figures: [String: Double] = [:]
    for name in Self.recipes {
      let recipe = try ComparisonRecipe(contentsOf: Self.folder + "/" + name)
      let paper = try #require(recipe.paper, "\(name)")
      #expect(!paper.source.isEmpty && !paper.scale.isEmpty)
      for (unit, value) in paper.perplexity ?? [:] {
        #expect(recipe.units.contains(unit) && (12...27).contains(value))
        let key = "\(unit), \(paper.scale)"
        #expect(figures[key] ?? value == value, "\(name), \(unit)")
        figures[key] = value
      }
    }
    // The paper's result: each doubling of the masks is better, sixteen better than SwiGLU.
    let paper = try #require(
      try ComparisonRecipe(contentsOf: Self.folder + "/mask-counts.json").paper)
    let units = ["gelu"] + [1, 2, 4, 8, 16].map { "swimglu:\($0)" }
    let values = try units.map { try #require(paper.perplexity(of: $0)) }
    #expect(zip(values, values.dropFirst()).allSatisfy { $0 > $1 })
    #expect(try #require(paper.perplexity(of: "swiglu")) > values[5])
  }

  private func paper(_ perplexity: String) throws -> ComparisonRecipe.Paper? {
    var paper: ComparisonRecipe.Paper?
    try withTemporaryFolder { folder in
      let text = """
        {"title": "a", "units": ["gelu", "swimglu"], "scales": {},
         "paper": {"source": "b", "scale": "c", "perplexity": {\(perplexity)}}}
        """
      try AtomicFile.write(Array(text.utf8), to: folder + "/recipe.json")
      paper = try ComparisonRecipe(contentsOf: folder + "/recipe.json").paper
    }
    return paper
  }

  @Test func thePapersUnitsAreSpelledAsTheRecipes() throws {
    let paper = try #require(try paper("\"swimglu\": 23.9"))
    #expect(paper.perplexity(of: "swimglu:4") == 23.9 && paper.perplexity(of: "gelu") == nil)
  }

  @Test(arguments: [
    ("\"foo\": 20", ExperimentProblem.unit, "unit \"foo\""),
    ("\"swimglu:17\": 20", .unit, "1 to 16"),
    ("\"swimglu:2\": 20", .unit, "not in the recipe: expected gelu, swimglu:4"),
    ("\"swimglu\": 20, \"swimglu:4\": 20", .unit, "\"swimglu:4\" is listed twice"),
    ("\"gelu\": 0.5", .setting, "gelu has 0.5: expected 1 or more"),
    ("\"gelu\": \"20\"", .malformed, "gelu"),
  ])
  func wrongFiguresAreRefused(perplexity: String, code: ExperimentProblem, words: String) throws {
    let error = #expect(throws: ExperimentError.self) { try paper(perplexity) }
    #expect(error?.code == code)
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("recipe.json") == true)
  }

  @Test func whatIsGivenGoesBeforeTheRecipe() throws {
    #expect(Self.recipes.count >= 8)
    let recipe = try ComparisonRecipe(contentsOf: Self.folder + "/top-k.json")
    var request = ComparisonRequest()
    request.steps = 5
    let plan = try request.completed(by: recipe.request(scale: "nano")).plan(tokenizer: .bytes)
    #expect(plan.settings.steps == 5 && plan.seeds == [1, 2, 3] && plan.units.count == 4)
  }

  @Test func brokenRecipesAreRefused() throws {
    try withTemporaryFolder { folder in
      for text in ["", "[]", "{\"title\": \"a\"}", "{\"title\": 1}"] {
        try AtomicFile.write(Array(text.utf8), to: folder + "/recipe.json")
        let error = #expect(throws: ExperimentError.self) {
          try ComparisonRecipe(contentsOf: folder + "/recipe.json")
        }
        #expect(error?.code == .malformed)
      }
    }
  }
}
