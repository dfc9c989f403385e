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

  /// What GPUs exchange is known: the gradient once for each round, and what passes read of the parameters.
  @Test func stepsOfManyGPUsArePredicted() throws {
    func plan(_ gpus: Int, _ others: String...) throws -> [String: Any] {
      let result = try mglu(
        ["plan", "--gpus", "\(gpus)", "--gradient-accumulation", "16", "--json"] + others)
      #expect(result.status == 0, "\(result.errors)")
      return try result.json()
    }
    func exchange(_ plan: [String: Any]) throws -> Double {
      try #require(plan["exchange_milliseconds"] as? Double)
    }
    let one = try plan(1)
    #expect(try exchange(one) == 0)
    let parameters = try #require((one["bytes"] as? [String: Int])?["parameters"])
    // On a CPU passes read float32 parameters: 7 / 8 of these go both ways in each of two rounds, and
    // once more.
    let eight = try plan(8, "--link-bandwidth", "1", "--link-latency", "0")
    let expected = 3 * 7.0 / 8 * Double(parameters) / 1e9 * 1e3
    #expect(abs(try exchange(eight) / expected - 1) < 1e-3)
    // Sixteen on two hosts are bound by the network, and have one round: 8 of 15 others are far.
    let sixteen = try plan(16, "--network-bandwidth", "0.1", "--link-latency", "0")
    #expect(
      abs(try exchange(sixteen) / (2 * 8.0 / 16 * Double(parameters) / 1e8 * 1e3) - 1) < 1e-3)
    let late = try plan(16, "--network-bandwidth", "0.1", "--link-latency", "1000")
    #expect(abs(try exchange(late) - exchange(sixteen) - 30) < 1e-6, "15 messages, twice")
    #expect(try mglu(["plan", "--gpus", "17", "--gradient-accumulation", "16"]).status == 64)
    #expect(try mglu(["plan", "--link-bandwidth", "0"]).status == 64)
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
