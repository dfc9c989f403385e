import Foundation
import MGLUTestSupport
import MGLUTraining

/// Training data, and the files of runs.
enum TrainingTargets {
  /// The first byte chooses the kind of the file.
  static func data(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let first = bytes.first else { return }
    let name = ["x.bin", "x.jsonl", "x.txt", "x.json"][Int(first) % 4]
    try Scratch.withFolder([name: Array(bytes.dropFirst())]) { folder in
      for path in ["\(folder)/\(name)", folder] {
        guard let corpus = try? Corpus(contentsOf: path, tokenizer: .bytes) else { continue }
        for tokens in [corpus.training, corpus.validation] {
          _ = tokens.fingerprint
          let ids = try? tokens.ids(0..<min(tokens.count, 5000), vocabularySize: 257)
          guard ids?.allSatisfy({ (0..<257).contains($0) }) != false else {
            throw FuzzFinding("ids beyond the vocabulary")
          }
        }
      }
    }
  }

  private static let settings = TrainingConfiguration(
    steps: 4, batchSize: 2, contextLength: 8, warmupSteps: 1, evaluateEvery: 0, evaluationTokens: 0,
    saveEvery: 2)

  private static func trainer(in folder: String) throws -> Trainer {
    let model = try LanguageModel(
      Scratch.configuration(.mglu(.init(count: 2))), seed: 1, on: CPUBackend(threads: 1))
    let corpus = Corpus(
      training: TokenSequence((0..<400).map { Int32($0 % 250) }),
      validation: TokenSequence((0..<40).map { Int32($0) }))
    return try Trainer(
      model, tokenizer: .bytes, corpus: corpus, configuration: settings, output: folder)
  }

  private static let checkpointName = "checkpoint-000002"

  /// The files of a run that ended in its third step.
  private static let files: (run: [String: [UInt8]], checkpoint: [String: [UInt8]]) = {
    let files = try? withTemporaryFolder(in: Scratch.parent) { folder in
      let trainer = try trainer(in: folder)
      try trainer.prepareOutput(resume: false) { _ in }
      _ = try trainer.run(isCancelled: { trainer.step >= 2 })
      return (
        try Scratch.files(in: folder), try Scratch.files(in: "\(folder)/\(checkpointName)")
      )
    }
    return files ?? ([:], [:])
  }()

  /// The first byte chooses the file, whether the others are all of it or edit a good one, and whether the
  /// run goes on; checksums are made to agree.
  static func run(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let first = bytes.first else { return }
    let names = files.checkpoint.keys.sorted() + ["metrics.jsonl", "result.json"]
    let name = names[Int(first & 63) % names.count]
    let good = files.checkpoint[name] ?? files.run[name] ?? []
    let content =
      first & 64 == 0 ? Array(bytes.dropFirst()) : Scratch.edited(good, bytes.dropFirst())
    var (run, checkpoint) = files
    if checkpoint[name] == nil { run[name] = content } else { checkpoint[name] = content }
    if name != "trainer_state.json", let state = checkpoint["trainer_state.json"],
      var document = (try? JSONSerialization.jsonObject(with: Data(state))) as? [String: Any],
      var sums = document["files"] as? [String: Any], sums[name] != nil
    {
      sums[name] = CRC32C.checksum(content)
      document["files"] = sums
      checkpoint["trainer_state.json"] = (try? JSONSerialization.data(withJSONObject: document))
        .map(Array.init)
    }
    try Scratch.withFolder(run) { folder in
      _ = try? MetricsLog.lines(in: folder)
      _ = try? ExperimentFile.read(RunResult.self, from: folder + "/result.json")
      _ = try? ExperimentFile.read(ComparisonRequest.self, from: folder + "/result.json")
      let path = "\(folder)/\(checkpointName)"
      try Folder.create(path)
      for (name, bytes) in checkpoint { try AtomicFile.write(bytes, to: "\(path)/\(name)") }
      let trainer = try trainer(in: folder)
      try trainer.prepareOutput(resume: true) { _ in }
      guard first >= 128 else { return }
      let start = trainer.step
      _ = try trainer.run(isCancelled: { trainer.step > start })
    }
  }
}
