/// What kept a name from being a device's.
public enum DeviceProblem: Sendable {
  /// It is neither `cpu` nor `cuda` nor `cuda:N`.
  case malformed
}

/// An error of naming a device.
public typealias DeviceError = Failure<DeviceProblem>

/// Where to compute, as the option `--device` names it.
public enum Device: Sendable, Equatable, CustomStringConvertible {
  /// This machine's processor.
  case cpu
  /// The NVIDIA GPU of that number; whether there is one, ``CUDADevice/find(ordinal:)`` tells.
  case cuda(Int)

  /// Reads `cpu`, `cuda` (the first GPU) or `cuda:N`.
  public init(parsing text: String) throws(DeviceError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    switch parts.first {
    case "cpu" where parts.count == 1: self = .cpu
    case "cuda" where parts.count == 1: self = .cuda(0)
    case "cuda" where parts.count == 2:
      // Int would also take a sign.
      guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let ordinal = Int(parts[1]) else {
        throw Self.malformed(text)
      }
      self = .cuda(ordinal)
    default: throw Self.malformed(text)
    }
  }

  private static func malformed(_ text: String) -> DeviceError {
    DeviceError(
      .malformed, "\"\(text)\" is no device: expected cpu, cuda or cuda:N",
      remedy: "mglu devices lists what there is")
  }

  public var description: String {
    switch self {
    case .cpu: "cpu"
    case .cuda(let ordinal): "cuda:\(ordinal)"
    }
  }
}
