#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `metrics.jsonl` of a run: one JSON object for each step, each validation and each
/// measurement of the masks, in order.
package final class MetricsLog {
  /// One line, without the keys that do not apply.
  package struct Line: Codable {
    package var step: Int
    package var loss: Double?
    var learningRate: Double?
    var gradientNorm: Double?
    var tokensPerSecond: Double?
    var validationLoss: Double?
    var validationPerplexity: Double?
    var bitsPerByte: Double?
    package var maskOnes: [Double]?
    package var maskFlips: [Double]?
    package var maskNearZero: [Double]?

    enum CodingKeys: String, CodingKey {
      case step
      case loss
      case learningRate = "learning_rate"
      case gradientNorm = "gradient_norm"
      case tokensPerSecond = "tokens_per_second"
      case validationLoss = "validation_loss"
      case validationPerplexity = "validation_perplexity"
      case bitsPerByte = "bits_per_byte"
      case maskOnes = "mask_ones"
      case maskFlips = "mask_flips_per_100_steps"
      case maskNearZero = "mask_near_zero"
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

    init(step: Int, _ report: MaskTelemetry.Report) {
      self.step = step
      maskOnes = report.ones
      maskFlips = report.flips
      maskNearZero = report.nearZero
    }
  }

  static let fileName = "metrics.jsonl"
  private var file: AppendingFile
  private let encoder: JSONEncoder
  private let events: TensorBoardLog?
  /// The step of the last validation in the log.
  private(set) var validatedStep: Int?

  /// Opens the log in `folder`. Lines after `step` are of steps that will be done again: they go,
  /// and so does a last line that was cut short. With `tensorBoard` an event file has the same.
  init(
    folder: String, keepingThrough step: Int, tensorBoard: Bool
  ) throws(FileError) {
    let path = folder + "/" + Self.fileName
    encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    var kept: [UInt8] = []
    var validated: Int?
    var lines: [Line] = []
    if step > 0, Folder.kind(of: path) == .file {
      try Self.forEachLine(of: path) { line, bytes in
        guard line.step <= step else { return }
        if line.validationLoss != nil { validated = line.step }
        lines.append(line)
        kept += bytes + [UInt8(ascii: "\n")]
      }
    }
    validatedStep = validated
    try AtomicFile.write(kept, to: path)
    file = try AppendingFile(path: path)
    events = tensorBoard ? try TensorBoardLog(folder: folder, lines: lines) : nil
  }

  /// The lines of the log in `folder`.
  package static func lines(in folder: String) throws(FileError) -> [Line] {
    var lines: [Line] = []
    try forEachLine(of: folder + "/" + fileName) { line, _ in lines.append(line) }
    return lines
  }

  private static func forEachLine(
    of path: String, _ body: (Line, [UInt8]) -> Void
  ) throws(FileError) {
    let model = JSONDecoder()
    model.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    for bytes in try MappedFile(path: path).contents.split(separator: UInt8(ascii: "\n")) {
      if let line = try? model.decode(Line.self, from: Data(bytes)) { body(line, Array(bytes)) }
    }
  }

  /// Appends `line`.
  func append(_ line: Line) throws(FileError) {
    if line.validationLoss != nil { validatedStep = line.step }
    // Encoding plain numbers cannot fail.
    guard let bytes = try? encoder.encode(line) else { return }
    try file.append(Array(bytes) + [UInt8(ascii: "\n")])
    try events?.append(line)
  }

  /// Makes the appended lines survive a power cut, like the checkpoint that follows.
  func sync() throws(FileError) {
    try file.sync()
    try events?.sync()
  }
}
