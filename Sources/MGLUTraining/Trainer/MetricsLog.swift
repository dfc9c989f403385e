#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `metrics.jsonl` of a run: one JSON object for each step and each validation, in order.
final class MetricsLog {
  /// One line; what does not apply is left out.
  struct Line: Codable {
    var step: Int
    var loss: Double?
    var learningRate: Double?
    var gradientNorm: Double?
    var tokensPerSecond: Double?
    var validationLoss: Double?
    var validationPerplexity: Double?
    var bitsPerByte: Double?

    enum CodingKeys: String, CodingKey {
      case step
      case loss
      case learningRate = "learning_rate"
      case gradientNorm = "gradient_norm"
      case tokensPerSecond = "tokens_per_second"
      case validationLoss = "validation_loss"
      case validationPerplexity = "validation_perplexity"
      case bitsPerByte = "bits_per_byte"
    }

    init(_ report: StepReport) {
      step = report.step
      loss = report.loss
      learningRate = report.learningRate
      gradientNorm = report.gradientNorm
      tokensPerSecond = report.tokensPerSecond
    }

    init(step: Int, _ result: EvaluationResult) {
      self.step = step
      validationLoss = result.loss
      validationPerplexity = result.perplexity
      bitsPerByte = result.bitsPerByte
    }
  }

  static let fileName = "metrics.jsonl"
  private var file: AppendingFile
  private let encoder: JSONEncoder

  /// Opens the log in `folder`. Lines after `step` are of steps that will be done again: they go,
  /// and so does a last line that was cut short.
  init(folder: String, keepingThrough step: Int) throws(FileError) {
    let path = folder + "/" + Self.fileName
    encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    var kept: [UInt8] = []
    if step > 0, Folder.kind(of: path) == .file {
      struct Numbered: Decodable { let step: Int }
      let decoder = JSONDecoder()
      for line in try MappedFile(path: path).contents.split(separator: UInt8(ascii: "\n")) {
        guard let found = try? decoder.decode(Numbered.self, from: Data(line)), found.step <= step
        else { continue }
        kept += Array(line) + [UInt8(ascii: "\n")]
      }
    }
    try AtomicFile.write(kept, to: path)
    file = try AppendingFile(path: path)
  }

  /// Appends `line`.
  func append(_ line: Line) throws(FileError) {
    // Encoding plain numbers cannot fail.
    guard let bytes = try? encoder.encode(line) else { return }
    try file.append(Array(bytes) + [UInt8(ascii: "\n")])
  }
}
