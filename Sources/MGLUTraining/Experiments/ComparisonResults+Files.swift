// results.json and results.csv depend on what was computed alone; what the clock said is in
// timings.json.
extension ComparisonResults {
  private struct Document: Encodable {
    let steps: Int
    let tokens: Int
    let spikeRule: String
    let summaries: [Summary]
    let runs: [RunResult]
  }

  private struct Timings: Encodable {
    let runs: [RunTiming]
  }

  /// Writes the files into `folder`.
  func write(to folder: String) throws {
    try ExperimentFile.write(
      Document(
        steps: steps, tokens: tokens, spikeRule: LossSpikes.rule, summaries: summaries, runs: runs),
      to: folder + "/results.json")
    try ExperimentFile.write(Timings(runs: timings), to: folder + "/timings.json")
    try AtomicFile.write(Array(csv.utf8), to: folder + "/results.csv")
  }

  /// A row for each run.
  var csv: String {
    let titles = [
      "unit", "seed", "learning_rate", "intermediate_size", "parameters", "mask_bits", "mebibytes",
      "steps", "validation_loss", "perplexity", "bits_per_byte", "training_loss", "spikes",
      "diverged",
    ]
    let rows = runs.map { run -> [String] in
      func number(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
      return [
        run.unit, "\(run.seed)", "\(run.learningRate)", "\(run.intermediateSize)",
        "\(run.parameters)", "\(run.maskBits)", "\(run.mebibytes)", "\(run.steps)",
        number(run.validationLoss), number(run.perplexity), number(run.bitsPerByte),
        number(run.trainingLoss), "\(run.spikes.count)", run.divergence == nil ? "0" : "1",
      ]
    }
    return ([titles] + rows).map { $0.joined(separator: ",") + "\n" }.joined()
  }
}
