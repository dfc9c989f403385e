import MGLUTraining

extension ComparisonReport {
  /// How many colors the page has; further units are dashed.
  static let colors = 8

  private var units: [String] {
    results.summaries.reduce(into: []) { if !$0.contains($1.unit) { $0.append($1.unit) } }
  }

  var rates: [Double] {
    results.summaries.reduce(into: []) {
      if !$0.contains($1.learningRate) { $0.append($1.learningRate) }
    }
  }

  func color(_ unit: String) -> Int {
    (units.firstIndex(of: unit) ?? 0) % Self.colors
  }

  func isDashed(_ unit: String) -> Bool {
    (units.firstIndex(of: unit) ?? 0) >= Self.colors
  }

  /// The units with their colors.
  var legend: [(title: String, style: String)] {
    units.map {
      (UnitSpecification.title(of: $0), "s\(color($0))" + (isDashed($0) ? " dashed" : ""))
    }
  }

  /// All drawings, in the order of the page.
  var plots: [String] {
    [lossesAtTheEnd] + rates.flatMap { [trainingCurves(rate: $0), validationCurves(rate: $0)] }
      + [maskShares, maskFlips].compactMap { $0 }
  }

  private var lossesAtTheEnd: String {
    DotPlot(
      title: "validation loss at the end, nats per token",
      marks: results.summaries.map { row in
        .init(
          title: UnitSpecification.title(of: row.unit) + suffix(rate: row.learningRate),
          color: color(row.unit), value: row.validationLoss,
          deviation: row.validationLossDeviation)
      }
    ).svg
  }

  /// The rate in a title, where there are several.
  private func suffix(rate: Double) -> String {
    rates.count > 1 ? ", rate \(NumberFormat.scientific(rate))" : ""
  }

  /// Training losses after the first twentieth, which would press the rest together; spikes marked.
  private func trainingCurves(rate: Double) -> String {
    let skipped = results.steps / 20
    return LinePlot(
      title: "training loss" + suffix(rate: rate), xLabel: "step", yLabel: "nats per token",
      series: series(rate: rate) { run in run.trainingCurve.filter { $0.step > skipped } }
    ).svg
  }

  private func validationCurves(rate: Double) -> String {
    LinePlot(
      title: "validation loss" + suffix(rate: rate), xLabel: "step", yLabel: "nats per token",
      series: series(rate: rate) { $0.validationCurve }
    ).svg
  }

  /// A curve for each unit: at each step the mean over the seeds that got there.
  private func series(
    rate: Double, _ points: (RunResult) -> [RunResult.Point]
  ) -> [LinePlot.Series] {
    units.map { unit in
      let runs = results.runs.filter { $0.unit == unit && $0.learningRate == rate }
      let values = Dictionary(grouping: runs.flatMap(points), by: \.step)
        .mapValues { $0.map(\.value).reduce(0, +) / Double($0.count) }
      return LinePlot.Series(
        color: color(unit), isDashed: isDashed(unit),
        points: values.sorted { $0.key < $1.key }.map { (Double($0.key), $0.value) },
        marks: runs.flatMap(\.spikes).map(Double.init))
    }
  }

  /// The share of ones by layer at the end, at the first learning rate.
  private var maskShares: String? {
    let series = maskSeries { runs in
      mean(of: runs.compactMap { $0.masks.last?.ones }).enumerated().map {
        (Double($0.offset), $0.element)
      }
    }
    guard let series else { return nil }
    return LinePlot(
      title: "share of ones by layer, at the end", xLabel: "layer", yLabel: "share", series: series
    ).svg
  }

  /// The share of bits flipped within 100 steps, over all layers.
  private var maskFlips: String? {
    let series = maskSeries { runs in
      let steps = runs.first?.masks.filter { $0.flipsPer100Steps != nil }.map(\.step) ?? []
      return steps.map { step in
        let flips = runs.compactMap { run in
          run.masks.first { $0.step == step }?.flipsPer100Steps
        }
        let layers = mean(of: flips)
        return (Double(step), layers.reduce(0, +) / Double(max(1, layers.count)))
      }
    }
    guard let series, series.contains(where: { $0.points.count > 1 }) else { return nil }
    return LinePlot(
      title: "mask bits that flip within 100 steps", xLabel: "step", yLabel: "share",
      series: series
    ).svg
  }

  private func maskSeries(
    _ points: ([RunResult]) -> [(Double, Double)]
  ) -> [LinePlot.Series]? {
    let masked = units.compactMap { unit -> LinePlot.Series? in
      let runs = results.runs.filter {
        $0.unit == unit && $0.learningRate == rates.first && !$0.masks.isEmpty
      }
      guard !runs.isEmpty else { return nil }
      return LinePlot.Series(
        color: color(unit), isDashed: isDashed(unit), points: points(runs).map { ($0, $1) })
    }
    return masked.isEmpty ? nil : masked
  }

  private func mean(of lists: [[Double]]) -> [Double] {
    guard let first = lists.first else { return [] }
    return first.indices.map { index in
      lists.reduce(0) { $0 + $1[index] } / Double(lists.count)
    }
  }
}
