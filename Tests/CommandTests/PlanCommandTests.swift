import Foundation
import Testing

/// What a training run costs, told before it is begun.
@Suite struct PlanCommandTests {
  @Test func partsOfThePlanAddUp() throws {
    let result = try mglu(["plan", "--batch-size", "2", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let plan = try result.json()
    let bytes = try #require(plan["bytes"] as? [String: Int])
    let total = try #require(bytes["total"])
    #expect(bytes.values.reduce(0, +) == 2 * total, "the total is among the values")
    #expect(try #require(plan["milliseconds_per_step"] as? Double) > 0)
    let recomputed = try mglu(["plan", "--batch-size", "2", "--recompute", "--json"]).json()
    let fewer = try #require(recomputed["bytes"] as? [String: Int])
    #expect(try #require(fewer["activations"]) < #require(bytes["activations"]))
    #expect(fewer["moments"] == bytes["moments"])
  }

  /// A link of any speed leaves what ranks save; one of none leaves nothing of it.
  @Test func severalGPUsArePredictedOverALink() throws {
    func milliseconds(_ bandwidth: String, _ latency: String) throws -> [Double] {
      let result = try mglu([
        "plan", "--batch-size", "2", "--gpus", "1,2,1024", "--link-bandwidth", bandwidth,
        "--link-latency", latency, "--json",
      ])
      #expect(result.status == 0, "\(result.errors)")
      let json = try result.json()
      let rows = try #require(json["scaling"] as? [[String: Any]])
      #expect(rows.map { $0["gpus"] as? Int } == [1, 2, 1024])
      let one = try #require(json["milliseconds_per_step"] as? Double)
      return try rows.map { try #require($0["milliseconds_per_step"] as? Double) / one }
    }
    let fast = try milliseconds("1e12", "0")
    #expect(abs(fast[0] - 1) < 1e-9 && fast[1] < 1 && fast[2] < fast[1])
    let slow = try milliseconds("1e-3", "1000")
    #expect(abs(slow[0] - 1) < 1e-9 && slow[1] > 2 && slow[2] > slow[1])
    #expect(try mglu(["plan", "--gpus", "2", "--link-bandwidth", "0"]).status == 64)
  }

  /// Each of several GPUs needs less the more there are, and least where they share the parameters.
  @Test func sharedParametersTakeLessMemory() throws {
    func bytes(_ more: [String]) throws -> (single: Int, each: [Int], milliseconds: [Double]) {
      let result = try mglu(
        [
          "plan", "--batch-size", "1", "--layers", "12", "--gpus", "1,2,8", "--link-bandwidth", "1",
          "--json",
        ] + more)
      #expect(result.status == 0, "\(result.errors)")
      let plan = try result.json()
      let rows = try #require(plan["scaling"] as? [[String: Any]])
      return (
        try #require((plan["bytes"] as? [String: Int])?["total"]),
        try rows.map { try #require($0["bytes"] as? Int) },
        try rows.map { try #require($0["milliseconds_per_step"] as? Double) }
      )
    }
    let (whole, shared) = (try bytes([]), try bytes(["--shard"]))
    #expect(whole.each[0] == whole.single && shared.each[0] == shared.single)
    #expect(whole.each[2] < whole.each[1])
    #expect(shared.each[1] < whole.each[1] && shared.each[2] < shared.each[1])
    // Layers are most of it.
    #expect(4 * shared.each[2] < 3 * whole.each[2])
    #expect(try mglu(["plan", "--shard"]).status == 64)
  }

  @Test func whatCannotFitIsRefusedWithTheFlagsThatHelp() throws {
    let plan = try mglu(["plan", "--preset", "llama-3.1-8b"])
    #expect(plan.status == 1 && plan.output.contains("activations"))
    try withText { folder, text in
      let train = try mglu([
        "train", "--data", text, "--preset", "llama-3.1-8b", "--output", folder + "/run",
      ])
      #expect(train.status == 1)
      for result in [plan, train] {
        #expect(result.errors.contains("GiB") && result.errors.contains("--gradient-accumulation"))
      }
    }
  }

  @Test func sizesBeyondEveryMachineAreAnError() throws {
    let batch = try mglu(["plan", "--batch-size", "1048576", "--context", "1048576"])
    #expect(batch.status == 1 && batch.errors.contains("tokens at most"))
    #expect(try mglu(["plan", "--batch-size", "0"]).status == 64)
    #expect(try mglu(["plan", "--preset", "tiny"]).status == 64)
  }

  @Test func trainingIsTimed() throws {
    let result = try mglu([
      "bench", "train", "--units", "gelu,swimglu:2", "--batch-size", "1", "--steps", "1", "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let rows = try #require(try result.json()["results"] as? [[String: Any]])
    #expect(rows.map { $0["unit"] as? String } == ["gelu", "swimglu:2"])
    for row in rows {
      #expect(try #require(row["tokens_per_s"] as? Double) > 0)
      // Of random tokens nothing can be known: ln 257.
      let loss = try #require(row["loss"] as? Double)
      #expect(abs(loss - 5.55) < 0.5)
    }
    #expect(try mglu(["bench", "train", "--units", "relu9"]).status == 1)
    #expect(try mglu(["bench", "train", "--steps", "0"]).status == 64)
  }

  @Test func deviceThatIsNotThereIsTold() throws {
    let result = try mglu(["plan", "--device", "cuda:99"])
    #expect(result.status == 1 && !result.errors.isEmpty)
    #expect(try mglu(["plan", "--device", "gpu"]).status == 64)
  }
}
