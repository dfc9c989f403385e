import MGLUTraining
import Testing

@Suite struct RecipeTests {
  private static let folder: String = {
    var root = #filePath
    for _ in 0..<3 { root = Folder.parent(of: root) }
    return root + "/Recipes"
  }()

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
