import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu compare`.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Train several feed-forward units on the same data and compare them.",
    discussion: """
      Examples:
        mglu compare --data a.txt --units gelu,swiglu,swimglu:4 --output a
        mglu compare --data a.txt --units gelu,swimglu --seeds 1,2,3 --output a
        mglu compare --data a.txt --units swiglu,swimglu:4 --minutes 9 --output a
        mglu compare --data a.txt --recipe Recipes/mask-counts.json --output a
        mglu compare --data a.txt --units gelu,swiglu,swimglu:4 --gpus all --output a

      A unit is a name of mglu train --ffn. An MGLU's masks follow a colon, and what differs \
      follows slashes: swimglu:4/fixed, swimglu:4/top-2, swimglu:1/no-gate-mask, \
      swimglu:1/no-value-mask. Runs of one seed see the same batches. Ctrl-C saves; the same \
      command goes on, and runs nothing twice. With --gpus and --ranks runs are done side by side, \
      each by one GPU or process.
      """)

  @Option(help: "Text, JSONL, token shards, or a folder of them.", completion: .file())
  var data: String
  @Option(help: "Validation data (default: the last tenth of --data).", completion: .file())
  var valid: String?
  @Option(help: "Folder of the report and of all runs.", completion: .directory)
  var output: String
  @Option(help: "byte, or a tokenizer.json.", completion: .file()) var tokenizer = "byte"
  @OptionGroup(title: "Comparison") var options: ComparisonOptions
  @OptionGroup var ranks: RankOptions
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @Flag(
    name: .customLong("tensorboard"), help: "Write TensorBoard event files next to metrics.jsonl.")
  var tensorBoard = false
  @Flag(help: "Print results.json instead of the table.") var json = false

  func run() throws {
    if try ranks.startRanks(on: device) { return }
    try RankProcess.run(of: self) { try compare($0, $1) }
  }

  private func compare(_ launch: RankLaunch?, _ group: RankGroup?) throws {
    let isLeader = group?.isLeader ?? true
    let backend = try ranks.device(device, of: launch).trainingBackend(
      threads: ranks.threads(threads, of: launch), notes: isLeader)
    let tokenizer = try Tokenizer.named(tokenizer)
    let recipe = try options.readRecipe()
    let request = try options.request(recipe)
    var plan = try options.plan(request, tokenizer: tokenizer)
    try plan.validate()
    let corpus = try Corpus(contentsOf: data, validation: valid, tokenizer: tokenizer)
    if let minutes = options.minutes {
      plan.minutes = minutes
      request.set(
        steps: try steps(
          forMinutes: minutes, of: plan, tokenizer: tokenizer, corpus: corpus, on: backend, group),
        of: &plan)
    }
    let comparison = try Comparison(
      plan, tokenizer: tokenizer, corpus: corpus, on: backend, output: output,
      tensorBoard: tensorBoard, sharing: group)

    var progress = ComparisonProgress(plan, processes: group?.size ?? 1, isLine: isLeader)
    if isLeader {
      progress.note(backend.summary + (group.map { ", \($0.size) runs at a time" } ?? ""))
      progress.note(
        "\(plan.runs.count) runs of \(NumberFormat.grouped(plan.settings.steps)) steps on "
          + "\(NumberFormat.grouped(corpus.training.count)) training and "
          + "\(NumberFormat.grouped(corpus.validation.count)) validation tokens")
    }
    if isLeader, let note = try Corpus.noteOfFilesLeftOut(data) { progress.note(note) }
    Interrupt.listen()
    let results = try comparison.run(
      observe: { progress.show($0) }, isCancelled: { Interrupt.isRequested })
    progress.finish()
    guard let results else {
      if isLeader { progress.note("interrupted: the same command goes on") }
      throw ExitCode(Interrupt.exitStatus)
    }
    guard isLeader else { return }
    let report = ComparisonReport(
      results,
      title: "\(recipe.map { $0.title + "," } ?? "Feed-forward units") on \(Folder.name(of: data))",
      machine: backend.summary, plan: plan, paper: recipe?.paper)
    try report.write(to: output)
    if json { return Output.write(try Comparison.document(in: output)) }
    Output.table(ComparisonTable(results).table)
    if let paper = recipe?.paper, let table = ComparisonTable(paper, beside: results) {
      Output.line("")
      Output.table(table.table)
    }
    Output.line("report: \(output)/report.html")
  }

  /// As many steps as take that long for all runs together, by what rank 0 measures.
  private func steps(
    forMinutes minutes: Double, of plan: ComparisonPlan, tokenizer: Tokenizer, corpus: Corpus,
    on backend: any TrainingBackend, _ group: RankGroup?
  ) throws -> Int {
    guard let group else {
      return try plan.steps(
        forMinutes: minutes, tokenizer: tokenizer, corpus: corpus, on: backend, output: output)
    }
    var measured = 0
    if group.isLeader {
      measured = try plan.steps(
        forMinutes: minutes * Double(min(group.size, plan.runs.count)), tokenizer: tokenizer,
        corpus: corpus, on: backend, output: output)
    }
    let told = try group.broadcast(Array("\(measured)".utf8))
    return Int(String(decoding: told, as: UTF8.self)) ?? measured
  }
}
