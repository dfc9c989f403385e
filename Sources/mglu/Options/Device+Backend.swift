import ArgumentParser
import MGLUModel

extension Device {
  /// The help of `--device`.
  static var help: ArgumentHelp {
    "Where to compute: \(DeviceKind.names), as mglu devices lists them."
  }

  /// The backend that computes there, with `threads` threads of the CPU, for models that read and write
  /// sequences; `notes` missing libraries, of several backends one alone.
  func inferenceBackend(threads: Int?, notes: Bool = true) throws -> any InferenceBackend {
    let backend = try inferenceBackend(host: CPUBackend(threads: threads))
    if notes { for warning in backend.warnings { Output.note(warning) } }
    return backend
  }

  /// The same for training; of several processes one alone `notes`.
  func trainingBackend(threads: Int?, notes: Bool = true) throws -> any TrainingBackend {
    let backend = try trainingBackend(host: CPUBackend(threads: threads))
    if notes { for warning in backend.warnings { Output.note(warning) } }
    return backend
  }
}
