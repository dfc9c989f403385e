import ArgumentParser
import MGLUModel

/// Which copies of a model compute what it is asked, as `--replicas` names them.
package enum Replicas: ExpressibleByArgument, Equatable, CustomStringConvertible {
  case count(Int)
  case all
  case devices([Device])

  package init?(argument: String) {
    if argument == "all" {
      self = .all
    } else if let count = Int(argument) {
      self = .count(count)
    } else {
      let names = argument.split(separator: ",", omittingEmptySubsequences: false)
      let devices = names.compactMap { try? Device(parsing: String($0)) }
      guard devices.count == names.count else { return nil }
      self = .devices(devices)
    }
  }

  package var description: String {
    switch self {
    case .count(let count): "\(count)"
    case .all: "all"
    case .devices(let devices): devices.map(\.description).joined(separator: ",")
    }
  }

  package var defaultValueDescription: String { description }

  /// Throws where no machine has such replicas.
  package func validate() throws {
    switch self {
    case .count(let count) where !(1...1024).contains(count):
      throw ValidationError("--replicas \(count): expected 1 to 1024")
    case .devices(let devices):
      for (index, device) in devices.enumerated() {
        guard device.kind.isNumbered else {
          throw ValidationError(
            "--replicas \(self): of the \(device) give a number of replicas")
        }
        guard !devices[..<index].contains(device) else {
          throw ValidationError("--replicas \(self): \(device) is named twice")
        }
      }
    case .count, .all: break
    }
  }

  /// The device of each replica.
  ///
  /// - Parameters:
  ///   - device: That of `--device`.
  ///   - names: The names of this machine's GPUs, by number; called where GPUs are chosen.
  package func devices(
    from device: Device, gpus names: () throws -> [String]
  ) throws -> [Device] {
    switch self {
    case .count(1): return [device]
    case .count(let count) where !device.kind.isNumbered:
      return Array(repeating: device, count: count)
    case .count(let count):
      let names = try names()
      let first = try device.number(among: names)
      guard count <= names.count - first else {
        throw ValidationError(
          "--replicas \(count) from \(device) on: this machine has "
            + names.indices.map { "cuda:\($0)" }.joined(separator: ", "))
      }
      return try Device.alike((first..<first + count).map { .cuda($0) }, of: option, among: names)
    case .all:
      guard device.kind.isNumbered else {
        throw ValidationError("--replicas all is for GPUs: give a number, or --device cuda")
      }
      let names = try names()
      let first = try device.number(among: names)
      return try Device.alike((first..<names.count).map { .cuda($0) }, of: option, among: names)
    case .devices(let devices):
      guard device == .cpu || devices.contains(device) else {
        throw ValidationError("--replicas \(self) and --device \(device) contradict each other")
      }
      return try Device.alike(devices, of: option, among: names())
    }
  }

  private var option: String { "--replicas \(self)" }
}
