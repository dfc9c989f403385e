import ArgumentParser
import MGLUReports
import MGLUTraining

extension ConvertCommand {
  /// Converts a GLU with a calibration text, and tells the loss before and after.
  func calibrate(_ text: String, masks: Int) throws {
    let clock = ContinuousClock()
    let start = clock.now
    let backend = try (calibration.device ?? .cpu).trainingBackend(threads: model.threads)
    let folder = try ModelFolder.locate(model.model)
    let configuration = try ModelFolder.configuration(in: folder)
    let settings = calibration.settings(masks: masks, configuration)
    let tokens = calibration.calibrationTokens ?? 1 << 17
    try PhysicalMemory.require(
      settings.byteCount(configuration, tokens: tokens, type: backend.productType)
        + Double(configuration.weightCount * (backend.productType == .float32 ? 4 : 6)),
      on: backend.deviceMemory, for: "a conversion with \(NumberFormat.grouped(tokens)) tokens",
      remedy: "give fewer --calibration-tokens")
    let (original, tokenizer) = try model.load(on: backend)
    let corpus = try Corpus(
      contentsOf: text, validation: calibration.valid, tokenizer: tokenizer)
    let calibrationText = try corpus.training.spread(
      windows: max(1, tokens / max(1, settings.contextLength)), length: settings.contextLength,
      vocabularySize: configuration.vocabularySize)
    let conversion = try CalibratedConversion(
      original, tokens: calibrationText, settings: settings,
      keepingLayersIn: output + "/conversion")

    var progress = ConversionProgressLine(layers: configuration.layers, steps: settings.tuneSteps)
    progress.note("\(backend.summary); the loss of the original comes first")
    let before = try loss(original, tokenizer, corpus, settings)
    progress.note(
      "\(configuration.summary); \(NumberFormat.grouped(calibrationText.count)) calibration "
        + "tokens, loss \(NumberFormat.fixed(before.loss, 4)) on "
        + "\(NumberFormat.grouped(before.tokens)) others")
    Interrupt.listen()
    let converted = try conversion.run(
      observe: { progress.show($0) }, isCancelled: { Interrupt.isRequested })
    progress.finish()
    guard let converted else {
      progress.note("interrupted: the same command goes on with the layer it stopped in")
      throw ExitCode(Interrupt.exitStatus)
    }
    let after = try loss(converted, tokenizer, corpus, settings)
    let result = try write(converted)
    try TextFiles(ofModel: folder).write(to: output)
    try conversion.removeProgress()
    let document = CalibrationDocument(
      output: output, parameters: result.weightCount, masks: masks,
      calibrationTokens: calibrationText.count, lossBefore: before.loss, lossAfter: after.loss,
      seconds: (clock.now - start) / .seconds(1))
    if json { return Output.json(document) }
    Output.line(
      "loss \(NumberFormat.fixed(before.loss, 4)) before, "
        + "\(NumberFormat.fixed(after.loss, 4)) after, in "
        + NumberFormat.clock(seconds: document.seconds))
    Output.line("\(output): \(result.summary)")
  }

  /// How well a model predicts windows of the validation text, 128 at most.
  private func loss(
    _ model: LanguageModel, _ tokenizer: Tokenizer, _ corpus: Corpus,
    _ settings: CalibrationSettings
  ) throws -> EvaluationResult {
    let most = 128 * settings.contextLength + 1
    let activations = model.makeActivations(
      sequences: 8, length: settings.contextLength, purpose: .evaluation)
    let evaluator = Evaluator(model, tokenizer: tokenizer, activations: activations)
    guard let result = try evaluator.evaluate(corpus.validation[0..<most]) else {
      preconditionFailure("an evaluation that nothing cancels")
    }
    return result
  }
}

/// The output of `mglu convert --calibrate --json`.
private struct CalibrationDocument: Encodable {
  let output: String
  let parameters: Int
  let masks: Int
  let calibrationTokens: Int
  let lossBefore: Double
  let lossAfter: Double
  let seconds: Double
}

/// Shows a conversion on standard error.
private struct ConversionProgressLine {
  private let layers: Int
  private let steps: Int
  private var line: ProgressLine
  private let clock = ContinuousClock()
  private var start: ContinuousClock.Instant
  private var firstLayer = 0

  init(layers: Int, steps: Int) {
    self.layers = layers
    self.steps = steps
    line = ProgressLine(total: layers * max(steps, 1))
    start = clock.now
  }

  mutating func show(_ event: ConversionEvent) {
    switch event {
    case .resumed(let layers):
      firstLayer = layers
      note("resumed: \(layers) layers are done")
    case .step(let step, let layer):
      let done = layer * steps + step
      let share = Double(done - firstLayer * steps) / Double((layers - firstLayer) * steps)
      let elapsed = (clock.now - start) / .seconds(1)
      line.update(
        done: done,
        "layer \(layer)/\(layers)  step \(step)/\(steps)  "
          + "\(NumberFormat.clock(seconds: elapsed / share - elapsed)) left")
    case .layer(let index, let error):
      note("layer \(index): relative error \(NumberFormat.fixed(error, 4))")
    }
  }

  mutating func note(_ message: String) { line.note(message) }

  mutating func finish() { line.finish() }
}
