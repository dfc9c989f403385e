import ArgumentParser
import MGLUModel

extension Device {
  /// The help of `--device`.
  static var help: ArgumentHelp {
    "Where to compute: cpu, cuda or cuda:N, as mglu devices lists them."
  }

  /// The backend that computes there, with `threads` threads of the CPU; notes missing libraries.
  func backend(threads: Int?) throws -> any TrainingBackend {
    let host = try CPUBackend(threads: threads)
    guard case .cuda(let ordinal) = self else {
      for warning in host.warnings { Output.note(warning) }
      return host
    }
    return try CUDABackend(CUDADevice.find(ordinal: ordinal), host: host)
  }
}
