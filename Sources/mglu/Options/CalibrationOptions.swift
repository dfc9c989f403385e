import ArgumentParser
import MGLUTraining

/// `--calibrate` of `mglu convert`, and what belongs to it.
struct CalibrationOptions: ParsableArguments {
  @Option(
    help: "Text, JSONL or token shards to fit the MGLU to, of the kind it is for.",
    completion: .file())
  var calibrate: String?
  @Option(
    help: "Text to tell the loss of (default: the last tenth of --calibrate).", completion: .file())
  var valid: String?
  @Option(help: "Tokens to fit to, in windows spread over the text (default: 131072).")
  var calibrationTokens: Int?
  @Option(help: "Tokens of a window (default: 1024, or the model's context).")
  var calibrationContext: Int?
  @Option(help: "Steps that tune each block (default: 200).") var tuneSteps: Int?
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device: Device?

  func validate() throws {
    if let calibrationTokens, calibrationTokens < 1 {
      throw ValidationError("--calibration-tokens \(calibrationTokens): expected at least 1")
    }
    guard calibrate == nil else { return }
    let given: [(String, Bool)] = [
      ("--valid", valid != nil), ("--calibration-tokens", calibrationTokens != nil),
      ("--calibration-context", calibrationContext != nil), ("--tune-steps", tuneSteps != nil),
      ("--device", device != nil),
    ]
    if let (name, _) = given.first(where: \.1) {
      throw ValidationError("\(name) belongs to --calibrate")
    }
  }

  /// The settings for a model.
  func settings(masks: Int, _ configuration: ModelConfiguration) -> CalibrationSettings {
    var settings = CalibrationSettings(masks: masks)
    settings.contextLength =
      calibrationContext ?? min(settings.contextLength, configuration.contextLength)
    settings.tuneSteps = tuneSteps ?? settings.tuneSteps
    return settings
  }
}
