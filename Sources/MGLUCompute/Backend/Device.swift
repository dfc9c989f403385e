/// What kept a name from being a device's.
public enum DeviceProblem: Sendable {
  /// No kind of device has the name, or a number follows where none belongs.
  case malformed
}

/// An error of naming a device.
public typealias DeviceError = Failure<DeviceProblem>

/// A kind of device, and how a backend of it is made. A new backend is one more entry of ``all``.
public struct DeviceKind: Sendable {
  /// As the option `--device` names it: `cpu`, `cuda`.
  public let name: String
  /// Whether a machine may have several, of which a number chooses one: `cuda:1`.
  public let isNumbered: Bool
  /// Makes the backend of the device of that number; `host` reads files for it, and is the backend
  /// itself where the kind is the CPU.
  let open: @Sendable (_ ordinal: Int, _ host: CPUBackend) throws(BackendError) -> any Backend

  /// Every kind that `--device` can name.
  public static let all: [DeviceKind] = [.cpu, .cuda]

  /// This machine's processor.
  static let cpu = DeviceKind(name: "cpu", isNumbered: false) { _, host in host }

  /// The names that `--device` takes, in words: `cpu, cuda or cuda:N`.
  public static var names: String {
    let names = all.flatMap { $0.isNumbered ? [$0.name, $0.name + ":N"] : [$0.name] }
    return names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
  }
}

/// Where to compute, as the option `--device` names it.
public struct Device: Sendable, Equatable, CustomStringConvertible {
  /// What kind of device it is.
  public let kind: DeviceKind
  /// Which of that kind, from 0; whether there is one is known when its backend is made.
  public let ordinal: Int

  /// This machine's processor.
  public static let cpu = Device(kind: .cpu, ordinal: 0)
  /// The NVIDIA GPU of that number.
  public static func cuda(_ ordinal: Int) -> Device { Device(kind: .cuda, ordinal: ordinal) }

  private init(kind: DeviceKind, ordinal: Int) { (self.kind, self.ordinal) = (kind, ordinal) }

  /// Reads the name of a kind (`cpu`, or `cuda` for the first GPU), or a name and a number (`cuda:1`).
  public init(parsing text: String) throws(DeviceError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard let kind = DeviceKind.all.first(where: { $0.name == parts[0] }),
      parts.count == 1 || parts.count == 2 && kind.isNumbered,
      // Int would also take a sign.
      parts.dropFirst().allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }),
      let ordinal = parts.count == 1 ? 0 : Int(parts[1])
    else {
      throw DeviceError(
        .malformed, "\"\(text)\" is no device: expected \(DeviceKind.names)",
        remedy: "mglu devices lists what there is")
    }
    self.init(kind: kind, ordinal: ordinal)
  }

  public static func == (a: Device, b: Device) -> Bool {
    a.kind.name == b.kind.name && a.ordinal == b.ordinal
  }

  public var description: String { kind.isNumbered ? "\(kind.name):\(ordinal)" : kind.name }

  /// The backend that computes there; `host` reads files for it.
  ///
  /// - Throws: ``BackendProblem/device`` where there is no such device or a library is missing.
  public func backend(host: CPUBackend) throws(BackendError) -> any Backend {
    try kind.open(ordinal, host)
  }

  /// The backend that computes there, for models that read and write sequences.
  ///
  /// - Throws: ``BackendProblem/operation`` where it has no operations of inference.
  public func inferenceBackend(host: CPUBackend) throws(BackendError) -> any InferenceBackend {
    try backend(host: host).requireInference()
  }

  /// The backend that computes there, for training.
  ///
  /// - Throws: ``BackendProblem/operation`` where it has no operations of training.
  public func trainingBackend(host: CPUBackend) throws(BackendError) -> any TrainingBackend {
    try backend(host: host).requireTraining()
  }
}
