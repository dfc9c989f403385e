#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The output of a run: `checkpoint-000100/` and its like, `metrics.jsonl`, and at the end the
/// model itself.
///
/// A checkpoint is a whole model folder with `optimizer.safetensors` and `trainer_state.json`,
/// which holds the CRC-32C of every other file. It is written under a hidden name and renamed, so
/// that a run may be killed at any moment.
struct RunFolder {
  /// The state of a checkpoint beside weights and moments. The random numbers and the place in the
  /// data follow from seed and step.
  struct State: Codable {
    var step: Int
    var configuration: TrainingConfiguration
    var trainingData: UInt32
    var validationData: UInt32
    /// The algorithms that the backend has chosen, where it has any.
    var choices: [String: String]?
    var files: [String: UInt32] = [:]

    enum CodingKeys: String, CodingKey {
      case step
      case configuration
      case trainingData = "training_data"
      case validationData = "validation_data"
      case choices
      case files
    }
  }

  static let stateName = "trainer_state.json"
  static let optimizerName = "optimizer.safetensors"
  private static let hiddenPrefix = ".checkpoint-"

  let path: String

  /// Whether a run, or a model, lies in the folder.
  var holdsRun: Bool {
    holdsModel || !ModelFolder.checkpoints(in: path).isEmpty
      || Folder.kind(of: path + "/" + MetricsLog.fileName) != nil
  }

  /// Whether a model lies in the folder itself.
  var holdsModel: Bool {
    ["config.json", "model.safetensors"].contains { Folder.kind(of: path + "/" + $0) != nil }
  }

  /// Removes the half-written files of a killed run, and no others.
  func removeUnfinished() throws(FileError) {
    for name in try Folder.names(in: path) {
      let step = name.hasPrefix(Self.hiddenPrefix) ? name.dropFirst(Self.hiddenPrefix.count) : ""
      let isCheckpoint = UInt64(step) != nil
      guard isCheckpoint || AtomicFile.isTemporary(name),
        Folder.kind(of: path + "/" + name) == (isCheckpoint ? .folder : .file)
      else { continue }
      try Folder.remove(path + "/" + name)
    }
  }

  /// Takes back the model of a run that goes on: until there is a new one, the newest checkpoint is
  /// the run's.
  func withdrawModel() throws(FileError) { try Folder.remove(path + "/config.json") }

  /// Writes a checkpoint and removes those beyond the newest `keep`. `masks` are the bits that the
  /// next measurement compares with.
  func save(
    _ model: LanguageModel, texts: TextFiles, moments: AdamW.HostMoments, masks: [UInt8]?,
    state: State, keep: Int
  ) throws -> String {
    let digits = String(state.step)
    let number = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    let final = "\(path)/\(ModelFolder.checkpointPrefix)\(number)"
    let hidden = "\(path)/\(Self.hiddenPrefix)\(number)"
    do {
      try Folder.remove(hidden)
      var state = state
      state.files = try ModelFolder.save(model, to: hidden)
      state.files.merge(try texts.write(to: hidden)) { $1 }
      state.files[Self.optimizerName] = try SafeTensorsWriter.write(
        moments.named.map { SafeTensorsWriter.Item(name: $0, tensor: $1) },
        to: "\(hidden)/\(Self.optimizerName)")
      if let masks {
        state.files[MaskTelemetry.fileName] = try AtomicFile.write(
          masks, to: "\(hidden)/\(MaskTelemetry.fileName)")
      }
      try AtomicFile.write(ModelFolder.json(state), to: "\(hidden)/\(Self.stateName)")
      // The same step again, after a resume from an older checkpoint: the new one takes its place.
      try Folder.remove(final)
      try Folder.move(hidden, to: final)
    } catch {
      try? Folder.remove(hidden)
      throw error
    }
    try removeOld(keep: keep)
    return final
  }

  /// Removes the checkpoints beyond the newest `keep`.
  func removeOld(keep: Int) throws(FileError) {
    for old in ModelFolder.checkpoints(in: path).dropLast(keep) { try Folder.remove(old) }
  }

  /// Writes the finished model into the folder itself.
  func saveModel(_ model: LanguageModel, texts: TextFiles) throws {
    try texts.write(to: path)
    try ModelFolder.save(model, to: path)
  }

  /// Loads the newest whole checkpoint, or returns `nil` where there is none at all.
  ///
  /// - Parameters:
  ///   - model: Takes up the parameters.
  ///   - tokenizer: That of the run that is to go on.
  ///   - moments: Take up those of the optimizer.
  ///   - expected: Settings and data of the run that is to go on.
  ///   - report: Told of every checkpoint that cannot be used, and why.
  func restore(
    _ model: LanguageModel, tokenizer: Tokenizer, moments: AdamW.HostMoments, expected: State,
    report: (String) -> Void
  ) throws -> (state: State, masks: [UInt8]?)? {
    let checkpoints = ModelFolder.checkpoints(in: path)
    for checkpoint in checkpoints.reversed() {
      let state: State
      do {
        state = try verifiedState(checkpoint)
      } catch {
        report("\(error.message): falling back to the checkpoint before")
        continue
      }
      var expected = expected
      expected.files["tokenizer.json"] = CRC32C.checksum(tokenizer.json)
      let differences = try model.configuration.differences(
        from: ModelFolder.configuration(in: checkpoint))
      try check(state, expected: expected, differences, checkpoint: checkpoint)
      try ModelFolder.loadParameters(of: model, from: checkpoint)
      let file = try SafeTensors(path: "\(checkpoint)/\(Self.optimizerName)")
      for (name, tensor) in moments.named { try file.load(name, into: tensor) }
      let masks = "\(checkpoint)/\(MaskTelemetry.fileName)"
      let hasMasks = state.files[MaskTelemetry.fileName] != nil
      return (state, hasMasks ? try MappedFile(path: masks).contents : nil)
    }
    guard checkpoints.isEmpty else {
      throw TrainingError(
        .noUsableCheckpoint, "\(path): none of its checkpoints can be used",
        remedy: "train anew in another folder")
    }
    return nil
  }

  /// The state of a checkpoint whose files all have their checksums.
  private func verifiedState(_ checkpoint: String) throws(CheckpointError) -> State {
    let state = try ModelFolder.decode(State.self, path: "\(checkpoint)/\(Self.stateName)")
    for (name, expected) in state.files.sorted(by: { $0.key < $1.key }) {
      let file: MappedFile
      do { file = try MappedFile(path: "\(checkpoint)/\(name)") } catch {
        throw CheckpointError(reading: error)
      }
      guard CRC32C.checksum(of: file) == expected else {
        throw CheckpointError(.corrupt, "\(checkpoint)/\(name) does not have its checksum")
      }
    }
    let number = checkpoint.split(separator: "-").last.flatMap { Int($0) }
    guard state.step == number else {
      throw CheckpointError(
        .corrupt, "\(checkpoint)/\(Self.stateName): step \(state.step), expected \(number ?? 0)")
    }
    guard state.files[Self.optimizerName] != nil, state.files["model.safetensors"] != nil else {
      throw CheckpointError(.corrupt, "\(checkpoint)/\(Self.stateName) is not complete")
    }
    return state
  }

  /// Throws where a checkpoint is of another run: in the keys of its model, in its settings or its data.
  private func check(
    _ state: State, expected: State, _ modelDifferences: [String], checkpoint: String
  ) throws(TrainingError) {
    var differences =
      modelDifferences + expected.configuration.differences(from: state.configuration)
    let isSame = [
      state.trainingData == expected.trainingData, state.validationData == expected.validationData,
    ]
    let name = "tokenizer.json"
    if isSame.contains(false), state.files[name] != expected.files[name] {
      // The data are its tokens.
      differences.append("another tokenizer")
    } else {
      if !isSame[0] { differences.append("other training data") }
      if !isSame[1] { differences.append("other validation data") }
    }
    guard differences.isEmpty else {
      throw TrainingError(
        .disagreement,
        "\(checkpoint) is of a run with other settings: "
          + differences.joined(separator: "; "),
        remedy: "resume with the settings it was started with, or train in another folder")
    }
    guard state.step <= expected.configuration.steps else {
      throw TrainingError(
        .beyondSteps,
        "\(checkpoint) is beyond the \(expected.configuration.steps) steps asked "
          + "for", remedy: "ask for more steps")
    }
  }
}

extension TrainingConfiguration {
  /// The settings of the newest checkpoint of the run in `folder` whose state can be read, if there is one.
  package init?(ofRunIn folder: String) {
    for checkpoint in ModelFolder.checkpoints(in: folder).reversed() {
      let path = "\(checkpoint)/\(RunFolder.stateName)"
      guard let state = try? ModelFolder.decode(RunFolder.State.self, path: path) else { continue }
      self = state.configuration
      return
    }
    return nil
  }
}
