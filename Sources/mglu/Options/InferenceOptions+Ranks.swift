import ArgumentParser
import MGLUModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension InferenceOptions {
  /// Opens a model and runs `body` with it. Where several devices share the model, this process is rank 0,
  /// which alone runs `body`; it starts the others, which open their shares and compute what its sessions
  /// ask for.
  ///
  /// - Parameters:
  ///   - threads: The threads of all ranks together; `nil` means all processors.
  ///   - command: Whose options these are.
  ///   - load: Opens the model, or this rank's share.
  ///   - body: What is done with the model.
  func withModel(
    threads: Int?, of command: any ParsableCommand,
    load: (any InferenceBackend, (any Communicator)?) throws -> InferenceModel,
    _ body: (InferenceModel) async throws -> Void
  ) async throws {
    guard devices.count > 1 else {
      return try await body(load(devices[0].inferenceBackend(threads: threads), nil))
    }
    let own = max(1, (threads ?? CPUBackend.processorCount) / devices.count)
    func share(of group: RankGroup) throws -> InferenceModel {
      let backend = try devices[group.rank].inferenceBackend(
        threads: own, notes: group.isLeader)
      return try load(backend, backend.communicator(of: group))
    }
    if RankLauncher.isRank {
      return try RankProcess.follow(of: command) { try SessionFollower(share(of: $0)).run() }
    }
    guard try RankLaunch.find() == nil else {
      throw ValidationError(
        "a model is shared by processes that this one starts, and a launcher has started this one: unset "
          + "its variables")
    }
    if ranks == 1 {
      _ = try Device.alike(
        devices, of: "--device \(device)", among: CUDADevice.all.map(\.name))
    }
    let (group, others) = try RankLauncher.lead(devices.count)
    let model = try share(of: group)
    try await body(model)
    try model.endFollowers()
    group.leave()
    for process in others { waitpid(process, nil, 0) }
  }
}
