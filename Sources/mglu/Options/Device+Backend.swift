import ArgumentParser
import MGLUModel

extension Device {
  /// The help of `--device`.
  static var help: ArgumentHelp {
    "Where to compute: \(DeviceKind.names), as mglu devices lists them."
  }

  /// `devices`, of which each computes the same.
  ///
  /// - Parameters:
  ///   - devices: GPUs.
  ///   - option: The option that names them, for errors.
  ///   - names: The names of this machine's GPUs, by number.
  static func alike(
    _ devices: [Device], of option: String, among names: [String]
  ) throws -> [Device] {
    let numbers = try devices.map { try $0.number(among: names) }
    if let other = numbers.first(where: { names[$0] != names[numbers[0]] }) {
      throw ValidationError(
        "\(option): the answers of cuda:\(numbers[0]) (\(names[numbers[0]])) and "
          + "cuda:\(other) (\(names[other])) differ; name GPUs of one kind, as in cuda:0,cuda:2")
    }
    return devices
  }

  /// The number of a GPU that there is.
  func number(among names: [String]) throws -> Int {
    guard names.indices.contains(ordinal) else { throw CUDADevice.absent(ordinal, among: names) }
    return ordinal
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
