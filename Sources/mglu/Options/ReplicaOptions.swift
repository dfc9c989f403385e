import ArgumentParser
import MGLUModel

/// On how many devices a model computes what it is asked.
struct ReplicaOptions: ParsableArguments {
  @Option(
    help: """
      Copies of the model that share the requests: a number (of GPUs, from that of --device on; on the CPU \
      the threads are divided), all for every GPU, or a list of GPUs, as in cuda:0,cuda:2.
      """)
  var replicas = Replicas.count(1)

  /// Which replicas there are.
  enum Replicas: ExpressibleByArgument, Equatable, CustomStringConvertible {
    case count(Int)
    case all
    case devices([Device])

    init?(argument: String) {
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

    var description: String {
      switch self {
      case .count(let count): "\(count)"
      case .all: "all"
      case .devices(let devices): devices.map(\.description).joined(separator: ",")
      }
    }

    var defaultValueDescription: String { description }
  }

  func validate() throws {
    switch replicas {
    case .count(let count) where !(1...1024).contains(count):
      throw ValidationError("--replicas \(count): expected 1 to 1024")
    case .devices(let devices):
      for (index, device) in devices.enumerated() {
        guard device.kind.isNumbered else {
          throw ValidationError(
            "--replicas \(replicas): of the \(device) give a number of replicas")
        }
        guard !devices[..<index].contains(device) else {
          throw ValidationError("--replicas \(replicas): \(device) is named twice")
        }
      }
    case .count, .all: break
    }
  }

  /// The device of each replica, and the threads that each has; `nil` means all.
  ///
  /// - Parameters:
  ///   - device: That of `--device`.
  ///   - threads: Those of `--threads`.
  func plan(on device: Device, threads: Int?) throws -> (devices: [Device], threads: Int?) {
    let devices = try devices(from: device)
    guard devices.count > 1 else { return (devices, threads) }
    let all = threads ?? CPUBackend.processorCount
    guard device.kind.isNumbered || devices[0].kind.isNumbered || devices.count <= all else {
      throw ValidationError(
        "--replicas \(replicas): each takes a thread, and there are \(all); give fewer, or more --threads"
      )
    }
    return (devices, max(1, all / devices.count))
  }

  private func devices(from device: Device) throws -> [Device] {
    switch replicas {
    case .count(1): return [device]
    case .count(let count) where !device.kind.isNumbered:
      return Array(repeating: device, count: count)
    case .count(let count):
      let gpus = try CUDADevice.all
      // One that is not there has its own error.
      let first = try CUDADevice.find(ordinal: device.ordinal).ordinal
      guard count <= gpus.count - first else {
        throw ValidationError(
          "--replicas \(count) from \(device) on: this machine has "
            + gpus.map { "cuda:\($0.ordinal)" }.joined(separator: ", "))
      }
      return try alike((first..<first + count).map { .cuda($0) })
    case .all:
      guard device.kind.isNumbered else {
        throw ValidationError("--replicas all is for GPUs: give a number, or --device cuda")
      }
      let first = try CUDADevice.find(ordinal: device.ordinal).ordinal
      return try alike((first..<(try CUDADevice.all.count)).map { .cuda($0) })
    case .devices(let devices):
      guard device == .cpu || devices.contains(device) else {
        throw ValidationError("--replicas \(replicas) and --device \(device) contradict each other")
      }
      return try alike(devices)
    }
  }

  /// `devices`, of which each gives a request the same answer.
  private func alike(_ devices: [Device]) throws -> [Device] {
    let gpus = try devices.map { try CUDADevice.find(ordinal: $0.ordinal) }
    if let other = gpus.first(where: { $0.name != gpus[0].name }) {
      throw ValidationError(
        "--replicas \(replicas): the answers of cuda:\(gpus[0].ordinal) (\(gpus[0].name)) and "
          + "cuda:\(other.ordinal) (\(other.name)) differ; name GPUs of one kind, as in cuda:0,cuda:2"
      )
    }
    return devices
  }
}
