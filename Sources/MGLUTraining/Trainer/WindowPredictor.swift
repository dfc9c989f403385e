/// A token of a window, and its loss in nats.
struct Prediction: BitwiseCopyable {
  let target: Int32
  let loss: Float
}

/// What predicts the tokens of windows.
protocol WindowPredictor {
  /// Most windows that are predicted together.
  var windowsAtATime: Int { get }
  /// Most tokens of a window.
  var length: Int { get }
  /// The vocabulary of the model.
  var vocabularySize: Int { get }

  /// Predicts the tokens of some of `windows`, which are at most ``windowsAtATime``, in their order.
  func predict(_ windows: BatchSampler, _ range: Range<Int>) throws -> [Prediction]
  /// Takes part in what ranks exchange while others predict.
  func accompany()
}

extension WindowPredictor {
  func accompany() {}
}

/// The passes of training.
struct TrainingPredictor: WindowPredictor {
  let model: LanguageModel
  let activations: ModelActivations

  var windowsAtATime: Int { activations.sequences }
  var length: Int { activations.length }
  var vocabularySize: Int { model.configuration.vocabularySize }

  func accompany() { model.accompany(isTraining: false) }

  func predict(_ windows: BatchSampler, _ range: Range<Int>) throws -> [Prediction] {
    try windows.consecutive(from: range.lowerBound, into: activations.batch)
    model.loss(activations)
    try model.sharded?.communicator.finish()
    try model.backend.finish()
    return activations.losses.withFloats { losses in
      losses.indices.compactMap { row in
        let target = activations.targets.integers[row]
        return target < 0 ? nil : Prediction(target: target, loss: losses[row])
      }
    }
  }
}

/// The steps of inference: windows are prompts whose log-probabilities are asked for.
struct InferencePredictor: WindowPredictor {
  let windowsAtATime: Int
  let length: Int
  private let session: InferenceSession

  var vocabularySize: Int { session.model.configuration.vocabularySize }

  init(_ model: InferenceModel, length: Int) {
    let length = max(1, min(length, model.configuration.contextLength))
    // As many short windows as fill a step; each also has its place among the rows that can decode.
    let rows = InferenceSession.prefillChunkSize(on: model.backend)
    windowsAtATime = min(256, (rows + length - 1) / length)
    self.length = length
    session = InferenceSession(
      model, maxSequences: windowsAtATime, contextLength: length,
      prefillChunkSize: max(rows, windowsAtATime * length))
  }

  func predict(_ windows: BatchSampler, _ range: Range<Int>) throws -> [Prediction] {
    var ids: [SequenceID] = []
    for index in range {
      let tokens = try windows.window(index)
      var request = GenerationRequest(
        prompt: tokens.dropLast(), maxTokens: 0, promptLogprobs: true)
      request.nextToken = tokens.last
      ids.append(try session.insert(request))
    }
    var found: [SequenceID: [TokenLogprob]] = [:]
    while !session.isIdle {
      for output in try session.next() { found[output.id] = output.promptLogprobs }
    }
    // The first token of a window follows none.
    return ids.flatMap { found[$0]?.dropFirst() ?? [] }.map { token in
      // What stands for the logarithm of 0 and for no number is no finite loss.
      let logprob = token.logprob ?? TokenLogprob.minimum
      return Prediction(
        target: token.id, loss: logprob > TokenLogprob.minimum ? -logprob : .infinity)
    }
  }
}
