import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu demo`.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Train a small SwiMGLU and a SwiGLU of the same shape, and compare them.",
    discussion: """
      Examples:
        mglu demo
        mglu demo --data input.txt --seconds 300

      Without --data it trains on the sources and documents that mglu was built from.
      """)

  @Option(help: "Text, or a folder of text.", completion: .file()) var data: String?
  @Option(help: "Folder of the two models.", completion: .directory) var output = "demo-out"
  @Option(help: "Seconds of training, for both together.") var seconds = 80.0
  @Option(help: "Masks of the SwiMGLU, 1 to 16.") var masks = 4
  @Option(help: "Seed.") var seed: UInt64 = 1
  @Option(help: "Threads (default: all processors).") var threads: Int?

  /// The file that tells folders of earlier demonstrations, which are replaced, from others.
  private static let marker = "made-by-mglu-demo"

  private struct Entry {
    let title: String
    let folder: String
    let model: LanguageModel
    var curve: [(x: Double, y: Double)] = []
    var summary: TrainingSummary?
  }

  func run() throws {
    guard seconds > 0, seconds < 1e6 else {
      throw TrainingError(.setting, "seconds \(seconds): expected more than 0, less than a million")
    }
    let folders = ["swimglu", "swiglu"].map { "\(output)/\($0)" }
    let marker = "\(output)/\(Self.marker)"
    if Folder.kind(of: marker) == nil,
      let other = folders.first(where: { Folder.kind(of: $0) != nil })
    {
      throw TrainingError(
        .outputExists, "\(other) is there already, and no demonstration made it",
        remedy: "choose another output folder")
    }
    let backend = try CPUBackend(threads: threads)
    let tokenizer = Tokenizer.bytes
    let path = try source()
    let corpus = try Corpus(contentsOf: path, tokenizer: tokenizer)
    for warning in backend.warnings { Output.note(warning) }
    Output.note(
      "training on \(path): \(NumberFormat.grouped(corpus.training.count)) bytes; \(backend.summary)"
    )
    var entries: [Entry] = []
    for (title, folder, unit) in [
      ("SwiMGLU, n_m = \(masks)", "swimglu", .mglu(.init(count: masks))),
      ("SwiGLU", "swiglu", FeedForwardUnitKind.glu),
    ] {
      var shape = ModelPreset.nano.configuration
      shape.feedForward.unit = unit
      shape.eosTokenIDs = tokenizer.eosTokenID.map { [$0] } ?? []
      let model = try LanguageModel(shape, on: backend)
      model.initialize(seed: seed)
      entries.append(Entry(title: title, folder: "\(output)/\(folder)", model: model))
    }
    try Folder.create(output)
    try AtomicFile.write(Array("made by mglu demo\n".utf8), to: marker)
    // The same steps for both, as many as the slower speed of a few trial steps allows in time.
    let steps = try plannedSteps(entries.map(\.model), corpus)
    Interrupt.listen()
    for index in entries.indices { try train(&entries[index], corpus, steps: steps) }
    try report(entries)
  }

  /// The data to train on.
  private func source() throws(DataError) -> String {
    if let data { return data }
    var root = #filePath
    for _ in 0..<3 { root = Folder.parent(of: root) }
    for folder in [root, "."] where Folder.kind(of: folder + "/Sources/mglu") == .folder {
      return folder + "/Sources"
    }
    throw DataError(
      .unreadable, "the sources that mglu was built from are not here", remedy: "give --data")
  }

  private func settings(steps: Int) -> TrainingConfiguration {
    TrainingConfiguration(
      steps: steps, warmupSteps: min(100, steps / 10), seed: seed,
      evaluateEvery: max(1, steps / 12), evaluationTokens: 8192, saveEvery: 0, keptCheckpoints: 1)
  }

  private func plannedSteps(_ models: [LanguageModel], _ corpus: Corpus) throws -> Int {
    Output.note("measuring the speed of a few steps")
    var secondsPerStep = 0.0
    for model in models {
      let trial = settings(steps: 15)
      let speed = try Trainer(
        model, tokenizer: .bytes, corpus: corpus, configuration: trial
      ).run().tokensPerSecond
      secondsPerStep += Double(trial.tokensPerStep) / max(1, speed)
      model.initialize(seed: seed)
    }
    let steps = Int(seconds / secondsPerStep)
    if steps < 20 {
      Output.note(
        "20 steps, the fewest that show anything, take \(Int((20 * secondsPerStep).rounded(.up))) s"
      )
    }
    return max(20, steps)
  }

  private func train(_ entry: inout Entry, _ corpus: Corpus, steps: Int) throws {
    try Folder.remove(entry.folder)
    let trainer = try Trainer(
      entry.model, tokenizer: .bytes, corpus: corpus, configuration: settings(steps: steps),
      output: entry.folder)
    try trainer.prepareOutput(resume: false) { _ in }
    var progress = TrainingProgress(trainer.configuration)
    progress.note("\(entry.title): \(NumberFormat.grouped(steps)) steps")
    var curve: [(x: Double, y: Double)] = []
    let summary = try trainer.run(
      observe: { event in
        switch event {
        case .step: progress.show(event)
        case .validation(let step, let result): curve.append((Double(step), result.loss))
        default: break
        }
      }, isCancelled: { Interrupt.isRequested })
    progress.finish()
    entry.summary = summary
    entry.curve = curve
    if summary.wasInterrupted { throw ExitCode(Interrupt.exitStatus) }
  }

  private func report(_ entries: [Entry]) throws {
    let chart = LineChart(
      "validation loss (nats per byte) over steps",
      entries.map { LineChart.Series($0.title, $0.curve) })
    for line in chart.lines(width: min(100, Terminal.output.width)) { Output.line(line) }
    Output.line("")
    var table = Table([
      .init("model"), .init("validation", .right), .init("feed-forward MiB", .right),
      .init("all MiB", .right), .init("tokens/s", .right),
    ])
    for entry in entries {
      let shape = entry.model.configuration
      table.append([
        entry.title, NumberFormat.fixed(entry.summary?.validation?.loss ?? .nan, 4),
        NumberFormat.fixed(shape.mebibytesOfFeedForward, 2),
        NumberFormat.fixed(Double(shape.deployedByteCount) / 1_048_576, 2),
        NumberFormat.grouped(entry.summary?.tokensPerSecond ?? 0),
      ])
    }
    Output.table(table)
    for entry in entries {
      let generator = try TokenGenerator(
        InferenceModel(entry.model), tokenizer: .bytes, prompt: "", maximumTokens: 200,
        sampling: SamplingParameters(temperature: 0.7, seed: seed))
      var sample = ""
      while let token = try generator.next() { sample += token.text }
      Output.line("\n--- a sample of \(entry.title)")
      Output.line(sample)
    }
    Output.line("\nmodels: " + entries.map(\.folder).joined(separator: ", "))
    Output.line("next: mglu inspect --model \(entries.first?.folder ?? output)")
  }
}
