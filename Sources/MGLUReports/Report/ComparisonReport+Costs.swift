import MGLUTraining

extension ComparisonReport {
  /// What the drawings of costs have in common.
  static let costNote =
    "Loss beside cost: better is lower and further left. Whiskers are standard deviations over seeds; "
    + "a process computes on one GPU, or on one CPU. Operations of training are counted, masks as "
    + "matrices of their own."

  /// The loss beside what a unit costs: memory, time of decoding, training. A cost that is not known of
  /// any unit has no drawing, and a unit without a loss or a cost no point.
  var costPlots: [ScatterPlot] {
    let single = results.timings.allSatisfy { ($0.processes ?? 1) == 1 }
    return [
      costPlot(
        "loss-memory", title: "loss and memory",
        cost: "MiB of feed-forward blocks, FP16 and 1-bit masks"
      ) { row in
        models[row.unit].flatMap { .init($0.mebibytesOfFeedForward) }
      },
      costPlot("loss-decoding", title: "loss and decoding", cost: "ms per decoded token") { row in
        estimate(results.timings(of: row).compactMap(\.decodeTokensPerSecond).map { 1000 / $0 })
      },
      costPlot(
        "loss-training", title: "loss and time of training",
        cost: single ? "seconds of training" : "seconds of training, of all processes added up"
      ) { row in
        estimate(results.trainingSeconds(of: row))
      },
      costPlot(
        "loss-arithmetic", title: "loss and arithmetic of training",
        cost: "training MFLOP per token"
      ) { row in
        models[row.unit].flatMap { .init($0.trainingFLOP(length: contextLength) / 1e6) }
      },
    ].compactMap { $0 }
  }

  private func costPlot(
    _ name: String, title: String, cost: String,
    of costs: (ComparisonResults.Summary) -> ScatterPlot.Estimate?
  ) -> ScatterPlot? {
    let marks = results.best.compactMap { row -> ScatterPlot.Mark? in
      guard let loss = row.validationLoss, let value = costs(row),
        let place = ScatterPlot.Estimate(loss, deviation: row.validationLossDeviation)
      else { return nil }
      let unit = UnitSpecification.title(of: row.unit)
      return ScatterPlot.Mark(
        title: unit, color: color(row.unit), isHollow: isDashed(row.unit), x: value,
        y: place,
        description: "\(unit): \(ComparisonTable.estimate(loss, row.validationLossDeviation)) "
          + "nats per token, \(NumberFormat.significant(value.value, 4))"
          + (value.deviation.map { " ± \(NumberFormat.significant($0, 2))" } ?? "") + " \(cost)")
    }
    guard !marks.isEmpty else { return nil }
    return ScatterPlot(
      name: name, title: title + (rates.count > 1 ? ", best rates" : ""), xLabel: cost,
      yLabel: "nats per token", yNames: ("perplexity", Self.perplexities),
      marks: marks)
  }

  /// The median, as the table has it, and the standard deviation.
  private func estimate(_ values: [Double]) -> ScatterPlot.Estimate? {
    values.lowerMedian.flatMap { .init($0, deviation: values.standardDeviation) }
  }

  /// The perplexities of losses, with as many digits as tell them apart; `nil` for those that nobody reads.
  private static func perplexities(of losses: [Double]) -> [String]? {
    let values = losses.map(EvaluationResult.perplexity)
    guard values.allSatisfy({ $0 < 1e6 }) else { return nil }
    return (3...7).lazy.map { digits in values.map { NumberFormat.significant($0, digits) } }
      .first { Set($0).count == $0.count }
  }
}
