import ArgumentParser
import MGLUReports
import MGLUTraining

extension ModelPreset: ExpressibleByArgument {}

extension TrainingSummary {
  /// The summary in a line.
  var sentence: String {
    var parts = ["\(NumberFormat.grouped(steps)) steps"]
    if let trainingLoss { parts.append("training loss \(NumberFormat.fixed(trainingLoss, 4))") }
    if let validation { parts.append("validation \(validation.sentence)") }
    if tokensPerSecond > 0 {
      parts.append("\(NumberFormat.grouped(tokensPerSecond)) tokens/s")
    }
    return parts.joined(separator: ", ")
  }
}

extension EvaluationResult {
  /// The result in a line.
  var sentence: String {
    "loss \(NumberFormat.fixed(loss, 4)) nats per token, perplexity \(NumberFormat.fixed(perplexity, 3)), "
      + "\(NumberFormat.fixed(bitsPerByte, 4)) bits per byte (\(NumberFormat.grouped(tokens)) tokens)"
  }

  /// The result in what is left of a line of 80 columns beside the name of a step.
  var shortSentence: String {
    "loss \(NumberFormat.fixed(loss, 4)), perplexity \(NumberFormat.fixed(perplexity, 3)), "
      + "\(NumberFormat.fixed(bitsPerByte, 4)) bits/byte"
  }
}

extension ModelConfiguration {
  /// Unit and sizes in a line.
  var summary: String {
    let mebibytes = Double(deployedByteCount) / 1_048_576
    return shape + ", \(NumberFormat.fixed(mebibytes, 2)) MiB as FP16 and 1-bit masks"
  }

  /// The same with the size of the file that holds the model.
  func summary(fileBytes: Int) -> String {
    shape + ", \(NumberFormat.fixed(Double(fileBytes) / 1_048_576, 2)) MiB"
  }

  private var shape: String {
    "\(feedForward.name): \(layers) layers, h \(hiddenSize), "
      + "d \(feedForward.intermediateSize), \(NumberFormat.grouped(weightCount)) parameters"
  }
}

extension Corpus {
  /// What is not read of a folder: text beside token shards, or these beside text that is packed, and files
  /// whose names do not say that they are text.
  static func noteOfFilesLeftOut(
    _ data: String, isPacked: Bool = false
  ) throws(DataError) -> String? {
    if let found = try mixedFiles(in: data) {
      let shards = "token shards (\(found.shards))", texts = "files of text (\(found.texts))"
      return isPacked
        ? "\(data): packing its \(texts), not its \(shards)"
        : "\(data): reading its \(shards), not its \(texts)"
    }
    let files = try TextSource.filesLeftOut(of: data)
    guard let first = files.first else { return nil }
    let name = first.dropFirst(data.count).drop { $0 == "/" }
    return "\(data): files that do not end as text does are not read (\(files.count), as \(name))"
  }
}
