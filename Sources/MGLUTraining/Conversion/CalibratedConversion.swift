import MGLUModel

/// What ``CalibratedConversion`` tells of its work.
public enum ConversionEvent: Sendable {
  /// An interrupted conversion had done this many layers.
  case resumed(layers: Int)
  /// A step of the tuning of a layer is done.
  case step(Int, layer: Int)
  /// A layer is done: the mean of |converted - original|² / |original|² of the residual stream behind
  /// it, over the tokens of the calibration text.
  case layer(Int, error: Double)
}

/// Turns a trained GLU model into an MGLU model, block by block, with a calibration text.
///
/// W serves as gate and as value, so each of its elements leaves an error in one of the two or in
/// both. For each block `MaskFit` chooses elements and masks by the covariance of the block's inputs,
/// and lets later columns make up for what earlier ones lack. Then AdamW tunes W and the down
/// projection, so that the block brings the residual stream to where the original's is. The inputs are
/// those that the blocks converted before give. Everything else of the model stays as it is. The
/// result is near the original; training it further (`mglu train --init`) brings it nearer still.
///
/// Cost of each layer: three forward passes over the calibration text, 2 (n + 1) d h² operations on
/// the host, and `tuneSteps` steps of one block.
public final class CalibratedConversion {
  /// The size of the mask logits: with 0.01 training flips masks before it knows better.
  private static let logit: Float = 0.1

  private let model: LanguageModel
  private let target: ModelConfiguration
  private let tokens: [Int32]
  private let settings: CalibrationSettings
  private let progress: ConversionProgress?

  /// A conversion of `model`, whose unit is a GLU, with a text of `tokens`, of which whole windows
  /// count.
  ///
  /// - Parameters:
  ///   - model: The original; it stays as it is.
  ///   - tokens: The calibration text: at least a window.
  ///   - settings: How blocks are fitted.
  ///   - folder: Where finished layers are kept until ``removeProgress()``, or `nil` for nowhere. The
  ///     layers of the same conversion that it keeps already are taken up; of another one it is an
  ///     error.
  public init(
    _ model: LanguageModel, tokens: [Int32], settings: CalibrationSettings,
    keepingLayersIn folder: String? = nil
  ) throws {
    self.model = model
    self.settings = settings
    let target = try model.configuration.masked(settings.masks)
    self.target = target
    try settings.validate(for: target)
    let windows = tokens.count / settings.contextLength
    guard windows > 0 else {
      throw ConversionError(
        .calibrationText,
        "the calibration text has \(tokens.count) tokens: expected at least a window of "
          + "\(settings.contextLength)", remedy: "give more text, or a smaller window")
    }
    let tokens = Array(tokens.prefix(windows * settings.contextLength))
    self.tokens = tokens
    if let id = tokens.first(where: { $0 < 0 || Int($0) >= target.vocabularySize }) {
      throw ConversionError(
        .calibrationText,
        "the calibration text has the token \(id): expected 0 to \(target.vocabularySize - 1)",
        remedy: "give the tokenizer of the model")
    }
    guard let folder else {
      progress = nil
      return
    }
    var checksum = CRC32C()
    for named in model.namedParameters {
      checksum.update(UnsafeRawBufferPointer(named.tensor.bytes))
    }
    progress = try ConversionProgress(
      folder: folder,
      identity: ConversionProgress.Identity(
        settings: settings, calibrationTokens: tokens.count,
        calibrationText: TokenSequence(tokens).fingerprint, model: checksum.value,
        computedBy: model.backend.kernelSet),
      configuration: target.feedForward)
  }

  /// Converts all layers. Returns `nil` as soon as `isCancelled` says so; the same conversion then goes
  /// on with the layer that it stopped in.
  public func run(
    observe: (ConversionEvent) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws -> LanguageModel? {
    let host = model.backend.host
    let finished = progress?.finishedLayers ?? 0
    if finished > 0 { observe(.resumed(layers: min(finished, target.layers))) }
    let result = try model.maskedCopy(masks: settings.masks)
    let streams = CalibrationStreams(model, tokens: tokens, length: settings.contextLength)
    var block = BlockTuning(
      target.feedForward, rows: min(settings.tuneRows, tokens.count), on: model.backend)
    for index in 0..<target.layers {
      if isCancelled() { return nil }
      let layer = host.allocate { ConvertedLayer(target.feedForward, in: &$0) }
      let statistics = streams.enter(index)
      try model.backend.finish()
      if let progress, index < finished {
        try progress.load(index, into: layer)
        block.assign(layer)
      } else {
        try fit(index, statistics, into: layer)
        block.assign(layer)
        guard
          tune(block, index, streams, statistics, observe: observe, isCancelled: isCancelled)
        else { return nil }
        block.copyMatrices(to: layer)
      }
      let error = try streams.leave(rows: block.rows) { x, residual, output in
        block.forward(x, addingTo: residual, into: output)
      }
      guard error.isFinite else {
        throw ConversionError(
          .nonFinite, "layer \(index): what the converted block gives is not finite",
          remedy: "convert with fewer tuning steps")
      }
      if index >= finished { try progress?.save(layer, index: index, on: host) }
      layer.write(to: result.weights.layers[index], logit: Self.logit, on: host)
      observe(.layer(index, error: error))
    }
    result.upload()
    return result
  }

  /// Removes the layers that were kept.
  public func removeProgress() throws { try progress?.remove() }

  /// W, the masks and the down projection of layer `index`, by second order.
  private func fit(
    _ index: Int, _ statistics: CalibrationStreams.Statistics, into layer: ConvertedLayer
  ) throws {
    let host = model.backend.host
    let hessian = statistics.hessian
    guard let factor = InverseCholesky.factor(of: hessian, damping: 0.01, on: host) else {
      throw ConversionError(
        .nonFinite, "layer \(index): the inputs of the feed-forward block are not finite",
        remedy: "look at the model with mglu evaluate")
    }
    let original = model.weights.layers[index]
    let matrices = original.unit.matrices
    let fit = MaskFit(masks: settings.masks).fit(
      gate: matrices[0], value: matrices[1],
      inputSquares: (0..<hessian.rows).map { hessian.floats[$0 * hessian.rows + $0] },
      factor: factor, sensitivity: statistics.sensitivity, on: host)
    host.copy(fit.weight, into: layer.weight)
    host.copy(fit.signs, into: layer.maskSigns)
    // The results of the masks add up, and rows of a negated value are negated.
    let scales = fit.valueSigns.map { $0 / Float(settings.masks) }
    for row in 0..<original.down.rows {
      let start = row * scales.count
      for (column, scale) in scales.enumerated() {
        layer.down.floats[start + column] = original.down.floats[start + column] * scale
      }
    }
  }

  /// Tunes a block; whether it was not canceled.
  private func tune(
    _ block: BlockTuning, _ index: Int, _ streams: CalibrationStreams,
    _ statistics: CalibrationStreams.Statistics, observe: (ConversionEvent) -> Void,
    isCancelled: () -> Bool
  ) -> Bool {
    let schedule = LearningRateSchedule(
      peak: settings.learningRate, minimum: 0, warmupSteps: min(10, settings.tuneSteps / 2),
      steps: settings.tuneSteps)
    var random = Philox(seed: settings.seed, purpose: .calibration, step: UInt64(index))
    var rows: [Int32] = []
    for step in 0..<settings.tuneSteps {
      if isCancelled() { return false }
      if rows.count < block.rows {
        rows = Array(0..<Int32(streams.rows))
        rows.shuffle(using: &random)
      }
      block.step(
        rows.suffix(block.rows), x: streams.inputs, target: streams.targets,
        rowScales: statistics.rowScales, learningRate: schedule[step], number: step + 1)
      rows.removeLast(block.rows)
      observe(.step(step + 1, layer: index))
    }
    return true
  }
}
