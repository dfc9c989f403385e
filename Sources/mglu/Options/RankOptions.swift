import ArgumentParser
import MGLUTraining

/// How many processes work together: `--gpus` and `--ranks` start them on this machine; under torchrun, Slurm
/// and Open MPI this process is one of them.
struct RankOptions: ParsableArguments {
  @Option(help: "Work on this many GPUs of this machine, or on all: a process for each.")
  var gpus: GPUCount?
  @Option(help: "Work in this many processes of this machine, on the CPU.") var ranks: Int?

  /// What `--shard` does, for the commands that have it.
  static let shardHelp: ArgumentHelp = """
    Share parameters and gradients among the GPUs or processes, too, as FSDP does: more exchanges, in \
    less memory, with equal results.
    """

  /// A number of GPUs.
  enum GPUCount: ExpressibleByArgument, Equatable {
    case all
    case count(Int)

    init?(argument: String) {
      if argument == "all" {
        self = .all
      } else if let count = Int(argument), (1...1024).contains(count) {
        self = .count(count)
      } else {
        return nil
      }
    }
  }

  func validate() throws {
    if gpus != nil, ranks != nil { throw ValidationError("--gpus and --ranks exclude each other") }
    if let ranks, !(1...1024).contains(ranks) {
      throw ValidationError("--ranks \(ranks): expected 1 to 1024")
    }
  }

  /// Starts ranks where that is asked for and waits for their ends; `false` where this process computes
  /// itself.
  ///
  /// - Parameters:
  ///   - device: That of `--device`.
  ///   - microBatches: How many a step has, where that is a limit.
  func startRanks(on device: Device, microBatches: Int = .max) throws -> Bool {
    guard let count = try ranksToStart(on: device) else { return false }
    guard count <= microBatches else {
      throw ValidationError(
        "\(count) ranks for \(microBatches) micro-batches of a step: give "
          + "--gradient-accumulation \(count), or fewer ranks")
    }
    let status = try RankLauncher.run(count)
    if status != 0 { throw ExitCode(status) }
    return true
  }

  private func ranksToStart(on device: Device) throws -> Int? {
    guard gpus != nil || ranks != nil, !RankLauncher.isRank else { return nil }
    guard try RankLaunch.find() == nil else {
      throw ValidationError(
        "\(gpus == nil ? "--ranks" : "--gpus") starts processes, and a launcher has started this one: "
          + "leave it out")
    }
    if let ranks {
      guard device == .cpu else {
        throw ValidationError("--ranks is for the CPU: give --gpus")
      }
      return ranks > 1 ? ranks : nil
    }
    let present = try CUDADevice.all.count
    guard present > 0 else { throw try missingGPU() }
    let count =
      switch gpus {
      case .count(let count): count
      case .all, nil: present
      }
    guard count <= present else {
      throw ValidationError("--gpus \(count): this machine has \(present)")
    }
    return count > 1 ? count : nil
  }

  private func missingGPU() throws -> any Error {
    do {
      _ = try CUDADevice.find(ordinal: 0)
    } catch { return error }
    return ValidationError("--gpus: this machine has no GPU")
  }

  /// Where this process computes: under a launcher each rank of a machine has a GPU of its own.
  func device(_ device: Device, of launch: RankLaunch?) throws -> Device {
    if gpus != nil || device.kind.isNumbered {
      let first = device.kind.isNumbered ? device.ordinal : 0
      guard let launch else { return .cuda(first) }
      // Some launchers show each process its own GPU alone.
      return .cuda(try CUDADevice.all.count == 1 ? 0 : first + launch.localRank)
    }
    return device
  }

  /// How many threads a rank has: those given, or a fair part of the processors.
  func threads(_ threads: Int?, of launch: RankLaunch?) throws -> Int? {
    guard threads == nil, let launch else { return threads }
    return max(1, CPUBackend.processorCount / (launch.localSize ?? launch.size))
  }
}
