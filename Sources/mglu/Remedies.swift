import ArgumentParser
import MGLUServer
import MGLUTraining

/// The remedies of the libraries' errors in terms of this program's flags.
///
/// A library does not know the flags: the remedy of its error says what to change. A remedy here
/// names the flag that changes it. An error without a remedy, or with a code that has none here,
/// stays as it is.
enum Remedies {
  /// `error`, thrown by `command`, with a remedy that names flags.
  static func inFlags(_ error: any Error, of command: any ParsableCommand) -> any Error {
    switch error {
    case let error as BackendError:
      error.remedied(
        error.code == .threadCount ? "use fewer --threads, or raise the limit of processes" : nil)
    case let error as DataError: error.remedied(remedy(error.code, of: command))
    case let error as TrainingError: error.remedied(remedy(error.code, of: command))
    case let error as ExperimentError: error.remedied(remedy(error.code))
    case let error as MemoryError: error.remedied(memoryRemedy(of: command))
    case let error as ServingError: error.remedied(remedy(error.code))
    case let error as ServerError: error.remedied(remedy(error.code))
    default: error
    }
  }

  private static func trains(_ command: any ParsableCommand) -> Bool {
    command is TrainCommand || command is CompareCommand
  }

  private static func remedy(_ problem: DataProblem, of command: any ParsableCommand) -> String? {
    switch problem {
    case .onlyValidation: "give other data, or leave out --valid to keep the last tenth"
    case .tooShort: trains(command) ? "use more text or a smaller --context" : "use more text"
    case .tokenID:
      trains(command) ? "give the tokenizer that the data was encoded with (--tokenizer)" : nil
    case .empty, .malformed, .unreadable, .unwritable, .wrongSize: nil
    }
  }

  private static func remedy(
    _ problem: TrainingProblem, of command: any ParsableCommand
  ) -> String? {
    switch problem {
    case .outputExists:
      command is TrainCommand
        ? "go on with --resume, or give another --output" : "give another --output"
    case .outputHoldsModel: "give another --output; --init begins with a model"
    case .beyondSteps: "give more --steps"
    case .nonFinite:
      trains(command)
        ? "start anew with a lower learning rate (--learning-rate) or a longer warm-up "
          + "(--warmup-steps)" : nil
    case .setting, .disagreement, .noUsableCheckpoint: nil
    }
  }

  private static func remedy(_ problem: ExperimentProblem) -> String? {
    switch problem {
    case .setting: "name them, as in --units gelu,swiglu,swimglu:4"
    case .disagreement: "ask for the same, or give another --output"
    case .unit, .malformed: nil
    }
  }

  private static func memoryRemedy(of command: any ParsableCommand) -> String? {
    switch command {
    case is CompareCommand:
      "use a smaller --batch-size with more --gradient-accumulation, a shorter --context or a "
        + "smaller model"
    case is TrainCommand, is PlanCommand, is TrainingBenchmarkCommand:
      "use a smaller --batch-size with more --gradient-accumulation, --recompute, several GPUs with "
        + "--shard, a shorter --context or a smaller model"
    case is BenchCommand.FeedForward: "choose smaller --shapes, or fewer --masks"
    default: nil
    }
  }

  private static func remedy(_ problem: ServingProblem) -> String? {
    problem == .memory
      ? "choose a smaller --max-batch or --context, or another --kv-cache-memory-bytes" : nil
  }

  private static func remedy(_ problem: ServerProblem) -> String? {
    switch problem {
    case .address: "choose another --host or --port"
    case .origin: "write --cors-origin as a browser does, such as http://localhost:5173"
    case .emptyKey: "give one, or neither --api-key, --api-key-file nor MGLU_API_KEY"
    case .key, .limit, .unavailable: nil
    }
  }
}

extension Failure {
  /// The error with `remedy` in place of its own.
  fileprivate func remedied(_ remedy: String?) -> Self {
    guard self.remedy != nil, let remedy else { return self }
    return Self(code, message, remedy: remedy)
  }
}
