/// Why an engine did not start, or did not finish a request.
public enum ServingProblem: Sendable {
  /// A prompt has no tokens.
  case emptyPrompt
  /// A prompt has more tokens than the engine's context.
  case contextLength
  /// A prompt has a token id outside the vocabulary.
  case tokenID
  /// A sampling parameter is out of its range.
  case sampling
  /// As many requests wait as the engine accepts; the request may succeed later.
  case queueFull
  /// The engine accepts no more requests because ``Engine/drain()`` was called.
  case draining
  /// The request took longer than ``EngineSettings/timeLimit``.
  case timeout
  /// The model's logits are not numbers; its weights are damaged.
  case notFinite
  /// The device failed; the engine must be created anew.
  case device
  /// The key-value caches do not fit in memory.
  case memory
  /// A setting of the engine is out of its range.
  case settings
}

/// An error of serving: the problem, the expectation and the remedy.
public typealias ServingError = Failure<ServingProblem>

extension Failure where Code == ServingProblem {
  static var queueFull: ServingError {
    ServingError(.queueFull, "too many requests wait", remedy: "try again in a moment")
  }

  static var draining: ServingError {
    ServingError(.draining, "the engine accepts no more requests: it is stopping")
  }

  static var timeout: ServingError {
    ServingError(
      .timeout, "the request took longer than the time limit",
      remedy: "ask for fewer tokens or sequences, or allow more time")
  }

  static var deviceFailed: ServingError {
    ServingError(.device, "the device failed", remedy: "create the engine anew")
  }

  /// An error of the model under a running request.
  init(_ error: GenerationError) {
    let code: ServingProblem =
      switch error.code {
      case .emptyPrompt: .emptyPrompt
      case .contextLength: .contextLength
      case .tokenID: .tokenID
      case .sampling: .sampling
      case .notFinite: .notFinite
      case .backend: .device
      // The scheduler starts no more sequences than the session has room for.
      case .sequences: .queueFull
      }
    self.init(code, error.message, remedy: error.remedy)
  }
}
