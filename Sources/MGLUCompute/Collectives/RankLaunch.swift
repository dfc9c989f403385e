/// What a launcher says of this process: which of the ranks it is, and where they meet.
///
/// Ranks are started by `mglu train --gpus`, torchrun (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`), Slurm's
/// srun (`SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID`, `SLURM_STEP_NODELIST`) and Open MPI
/// (`OMPI_COMM_WORLD_RANK`, `_SIZE`, `_LOCAL_RANK`). They meet at `MASTER_ADDR` and `MASTER_PORT`,
/// which the last two need not set.
public struct RankLaunch: Sendable, Equatable {
  /// Which rank this is, from 0.
  public var rank: Int
  /// How many ranks there are.
  public var size: Int
  /// Which rank of this machine it is, from 0.
  public var localRank: Int
  /// How many ranks this machine has, where the launcher tells.
  public var localSize: Int?
  /// Where rank 0 is.
  public var address: String
  /// At which port it waits for the others.
  public var port: Int

  /// A launch.
  ///
  /// - Parameters:
  ///   - rank: Which rank this is, from 0.
  ///   - size: How many ranks there are.
  ///   - localRank: Which rank of this machine it is, from 0.
  ///   - localSize: How many ranks this machine has, if that is known.
  ///   - address: Where rank 0 is: a name or an address.
  ///   - port: At which port it waits for the others.
  public init(
    rank: Int, size: Int, localRank: Int, localSize: Int? = nil, address: String, port: Int
  ) {
    self.rank = rank
    self.size = size
    self.localRank = localRank
    self.localSize = localSize
    self.address = address
    self.port = port
  }

  /// What the environment says, or `nil` where it tells of no more than one rank.
  ///
  /// - Parameter environment: The values of variables; by default those of this process.
  /// - Throws: ``CommunicationProblem/launch`` where variables are malformed or missing.
  public static func find(
    _ environment: @escaping (String) -> String? = Environment.value
  ) throws(CommunicationError) -> RankLaunch? {
    let variables = Variables(value: environment)
    if environment("RANK") != nil, environment("WORLD_SIZE") != nil {
      return try variables.torchrun()
    }
    if environment("OMPI_COMM_WORLD_RANK") != nil, environment("OMPI_COMM_WORLD_SIZE") != nil {
      return try variables.openMPI()
    }
    // A batch script has the numbers of its job too, but no step.
    if environment("SLURM_PROCID") != nil, let nodes = environment("SLURM_STEP_NODELIST") {
      return try variables.slurm(nodes: nodes)
    }
    return nil
  }
}

/// The environment of a launcher.
private struct Variables {
  let value: (String) -> String?

  /// The number that a variable has.
  func number(_ name: String, _ range: ClosedRange<Int>) throws(CommunicationError) -> Int {
    let text = value(name) ?? ""
    guard let number = Int(text), range.contains(number) else {
      throw CommunicationError(
        .launch,
        "\(name) is \(text.isEmpty ? "not set" : "\"\(text)\""): expected \(range.lowerBound) to "
          + "\(range.upperBound)",
        remedy: "start the ranks with mglu train --gpus, torchrun, srun or mpirun")
    }
    return number
  }

  private static let most = 1 << 16

  func launch(
    rank: String, size: String, local: String, localSize: String, address: String?, port: Int?
  ) throws(CommunicationError) -> RankLaunch? {
    let count = try number(size, 1...Self.most)
    let own = try number(rank, 0...count - 1)
    if count == 1 { return nil }
    guard let address = value("MASTER_ADDR") ?? address else {
      throw CommunicationError(
        .launch, "MASTER_ADDR is not set: \(count) ranks do not know where to meet",
        remedy: "set it to the machine of rank 0, and MASTER_PORT to a free port there")
    }
    let meeting =
      if let port, value("MASTER_PORT") == nil {
        port
      } else {
        try number("MASTER_PORT", 1...65534)
      }
    return RankLaunch(
      rank: own, size: count, localRank: try number(local, 0...Self.most),
      localSize: value(localSize) == nil ? nil : try number(localSize, 1...Self.most),
      address: address, port: meeting)
  }

  func torchrun() throws(CommunicationError) -> RankLaunch? {
    var launch = try launch(
      rank: "RANK", size: "WORLD_SIZE", local: "LOCAL_RANK", localSize: "LOCAL_WORLD_SIZE",
      address: nil, port: nil)
    // torchrun's own store has the port then.
    if value("TORCHELASTIC_USE_AGENT_STORE") == "True" { launch?.port += 1 }
    return launch
  }

  func openMPI() throws(CommunicationError) -> RankLaunch? {
    let isLocal = value("OMPI_COMM_WORLD_LOCAL_SIZE") == value("OMPI_COMM_WORLD_SIZE")
    return try launch(
      rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE",
      local: "OMPI_COMM_WORLD_LOCAL_RANK", localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
      address: isLocal ? "127.0.0.1" : nil,
      port: port(of: value("PMIX_NAMESPACE") ?? value("OMPI_MCA_ess_base_jobid") ?? ""))
  }

  func slurm(nodes: String) throws(CommunicationError) -> RankLaunch? {
    // That of the step, where a step has fewer tasks than its job.
    let size = value("SLURM_STEP_NUM_TASKS") == nil ? "SLURM_NTASKS" : "SLURM_STEP_NUM_TASKS"
    return try launch(
      rank: "SLURM_PROCID", size: size, local: "SLURM_LOCALID",
      localSize: "SLURM_NTASKS_PER_NODE", address: Self.firstNode(of: nodes),
      port: port(of: "\(value("SLURM_JOB_ID") ?? "").\(value("SLURM_STEP_ID") ?? "")"))
  }

  /// A port for a job, so that two jobs on a machine rarely ask for the same.
  private func port(of job: String) -> Int {
    20_000 + job.utf8.reduce(0) { ($0 * 31 + Int($1)) % 10_000 }
  }

  /// The first host of a list such as `node[03-05,08],other1`.
  static func firstNode(of list: String) -> String {
    var (name, isInside) = ("", false)
    for character in list {
      switch character {
      case "[": isInside = true
      case "]", ",": return name
      case "-" where isInside: return name
      default: name.append(character)
      }
    }
    return name
  }
}
