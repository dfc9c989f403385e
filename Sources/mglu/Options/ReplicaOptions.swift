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

  func validate() throws { try replicas.validate() }

  /// The device of each replica, and the threads that each has; `nil` means all.
  ///
  /// - Parameters:
  ///   - device: That of `--device`.
  ///   - threads: Those of `--threads`.
  func plan(on device: Device, threads: Int?) throws -> (devices: [Device], threads: Int?) {
    let devices = try replicas.devices(from: device) { try CUDADevice.all.map(\.name) }
    guard devices.count > 1 else { return (devices, threads) }
    let all = threads ?? CPUBackend.processorCount
    guard devices[0].kind.isNumbered || devices.count <= all else {
      throw ValidationError(
        "--replicas \(replicas): each takes a thread, and there are \(all); give fewer, or more --threads"
      )
    }
    return (devices, max(1, all / devices.count))
  }
}
