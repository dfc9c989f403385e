import Foundation
import MGLUCompute
import MGLUTestSupport
import Testing

@Suite struct RankLaunchTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let variables: [String: String]
    let launch: RankLaunch?
  }

  static let torchrun = [
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "head", "MASTER_PORT": "29500",
  ]

  static let cases = [
    Case(testDescription: "no launcher", variables: ["SLURM_PROCID": "0"], launch: nil),
    Case(
      testDescription: "torchrun", variables: torchrun,
      launch: RankLaunch(
        rank: 5, size: 8, localRank: 1, localSize: 4, address: "head", port: 29500)),
    Case(
      testDescription: "torchrun, whose store has the port",
      variables: torchrun.merging(["TORCHELASTIC_USE_AGENT_STORE": "True"]) { $1 },
      launch: RankLaunch(
        rank: 5, size: 8, localRank: 1, localSize: 4, address: "head", port: 29501)),
    Case(
      testDescription: "one rank",
      variables: ["RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"], launch: nil),
    Case(
      testDescription: "Slurm",
      variables: [
        "SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[007-008,12]", "MASTER_PORT": "1234",
      ],
      launch: RankLaunch(rank: 3, size: 4, localRank: 1, address: "gpu007", port: 1234)),
    Case(
      testDescription: "a step of Slurm with fewer tasks than its job",
      variables: [
        "SLURM_PROCID": "1", "SLURM_NTASKS": "16", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "a-1,b[2-3]", "MASTER_PORT": "1",
      ],
      launch: RankLaunch(rank: 1, size: 2, localRank: 1, address: "a-1", port: 1)),
    Case(
      testDescription: "a batch script of Slurm, which is no rank",
      variables: ["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"], launch: nil),
    Case(
      testDescription: "Open MPI on one machine",
      variables: [
        "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "MASTER_PORT": "77",
      ],
      launch: RankLaunch(
        rank: 1, size: 2, localRank: 1, localSize: 2, address: "127.0.0.1", port: 77)),
  ]

  @Test(arguments: cases) func variablesOfLaunchersAreRead(_ test: Case) throws {
    #expect(try RankLaunch.find { test.variables[$0] } == test.launch)
  }

  /// Each of these says a part of what is needed, or nonsense.
  @Test(arguments: [
    ["RANK": "8"], ["RANK": "-1"], ["WORLD_SIZE": "0"], ["LOCAL_RANK": ""], ["MASTER_PORT": "x"],
    ["MASTER_PORT": "65535"], ["MASTER_ADDR": ""],
  ]) func errorsNameTheVariable(_ change: [String: String]) throws {
    let variables = Self.torchrun.merging(change) { $1 }
    let error = #expect(throws: CommunicationError.self) {
      try RankLaunch.find { name in variables[name].flatMap { $0.isEmpty ? nil : $0 } }
    }
    #expect(error?.code == .launch)
    let name = try #require(change.keys.first == "WORLD_SIZE" ? "WORLD_SIZE" : change.keys.first)
    #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
  }

  @Test func ranksOfOneJobMeetAtOnePort() throws {
    func launch(_ rank: String, job: String) throws -> RankLaunch? {
      let variables = [
        "SLURM_PROCID": rank, "SLURM_NTASKS": "2", "SLURM_LOCALID": "0",
        "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_JOB_ID": job, "SLURM_STEP_ID": "0",
      ]
      return try RankLaunch.find { variables[$0] }
    }
    let ports = try [("0", "77"), ("1", "77"), ("0", "78")].map {
      try #require(launch($0.0, job: $0.1)?.port)
    }
    #expect(ports[0] == ports[1] && ports[0] != ports[2])
    #expect(ports.allSatisfy { (20_000..<30_000).contains($0) })
  }
}

@Suite struct RankGroupTests {
  @Test(arguments: [2, 3, 5]) func messagesComeInTheOrderOfRanks(count: Int) throws {
    let results = try withRanks(count) { group in
      let own = [UInt8](repeating: UInt8(group.rank), count: 70_000 * group.rank)
      return (
        group.size, group.isLeader, try group.allGather(own),
        try group.any(group.rank == count - 1), try group.any(false),
        try group.broadcast(group.isLeader ? [9, 8] : [1])
      )
    }
    let expected = (0..<count).map { [UInt8](repeating: UInt8($0), count: 70_000 * $0) }
    for (rank, result) in results.enumerated() {
      let (size, isLeader, all, isAny, isNone, broadcast) = try result.get()
      #expect(size == count && isLeader == (rank == 0))
      #expect(all == expected)
      #expect(isAny && !isNone && broadcast == [9, 8])
    }
  }

  @Test(arguments: [2, 4]) func tensorsMoveBetweenAllRanks(count: Int) throws {
    let results = try withRanks(count) { group in
      let backend = try CPUBackend(threads: 1)
      let communicator = try backend.communicator(of: group)
      // Larger than what a connection holds, so that both ends must read while they write.
      let n = 1 << 20
      func row(_ rank: Int) -> [Float] { [Float](repeating: Float(rank), count: n) }
      let all = backend.allocate { $0.tensor([count, n]) }
      let pieces = (0..<count).map { all[$0..<$0 + 1] }
      pieces[group.rank].assign(row(group.rank))
      communicator.allGather(pieces.map { [$0, all[0..<0]] })
      try communicator.finish()
      return (0..<count).allSatisfy { pieces[$0].array == row($0) }
    }
    for result in results { #expect(try result.get()) }
  }

  /// The error of one rank is every other's too, and names it.
  @Test func aRankThatGivesUpIsNamed() throws {
    let results = try withRanks(4) { group in
      if group.rank == 2 {
        group.abandon("no memory")
        throw CancellationError()
      }
      _ = try group.allGather([])
    }
    for (rank, result) in results.enumerated() where rank != 2 {
      let error = #expect(throws: CommunicationError.self) { try result.get() }
      #expect(error?.code == .rankLost)
      #expect(error?.message.contains("rank 2 (") == true, "\(error?.message ?? "")")
      #expect(error?.message.contains("no memory") == true)
    }
  }

  @Test func absentRanksAreNamed() throws {
    let point = try RankMeetingPoint()
    let error = #expect(throws: CommunicationError.self) {
      try RankGroup.join(
        RankLaunch(rank: 0, size: 3, localRank: 0, address: "127.0.0.1", port: point.port),
        patience: RankPatience(meeting: .milliseconds(200), silence: .seconds(1)),
        listener: dup(point.descriptor))
    }
    #expect(error?.code == .rendezvous)
    #expect(error?.message.contains("ranks 1, 2 of 3") == true, "\(error?.message ?? "")")
  }

  /// Where the meeting point is open, and nobody answers.
  @Test(arguments: [
    (0, "rank 0 waits at PLACE for ranks 1, 2 of 3"),
    (2, "rank 2 has reached rank 0 at PLACE and waits for the others"),
  ]) func aRankThatWaitsForLongSaysForWhom(rank: Int, text: String) throws {
    let point = try RankMeetingPoint()
    var said: [String] = []
    #expect(throws: CommunicationError.self) {
      try RankGroup.join(
        RankLaunch(rank: rank, size: 3, localRank: rank, address: "127.0.0.1", port: point.port),
        patience: RankPatience(
          meeting: .milliseconds(300), silence: .seconds(1), notice: .milliseconds(50)),
        listener: rank == 0 ? dup(point.descriptor) : nil, onWait: { said.append($0) })
    }
    #expect(said == [text.replacing("PLACE", with: "127.0.0.1:\(point.port)")])
  }

  @Test func strangersAreSentAway() throws {
    let point = try RankMeetingPoint()
    let (port, listener) = (point.port, dup(point.descriptor))
    // Before the others: what is not a rank, and what says nothing.
    var strangers: [Int32] = []
    for text in ["GET / HTTP/1.1\r\n\r\n", ""] {
      let client = try #require(connected(to: port))
      _ = text.withCString { write(client, $0, strlen($0)) }
      strangers.append(client)
    }
    let other = RankLaunch(rank: 1, size: 2, localRank: 1, address: "127.0.0.1", port: port)
    let patience = RankPatience(meeting: .seconds(30), silence: .seconds(30))
    Thread.detachNewThread {
      let group = try? RankGroup.join(other, patience: patience)
      _ = try? group?.allGather([1])
      group?.leave()
    }
    let group = try RankGroup.join(
      RankLaunch(rank: 0, size: 2, localRank: 0, address: "127.0.0.1", port: port),
      patience: patience, listener: listener)
    #expect(try group.allGather([0]) == [[0], [1]])
    group.leave()
    for client in strangers { close(client) }
  }

  private func connected(to port: Int) -> Int32? {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    #if canImport(Darwin)
      let client = socket(AF_INET, SOCK_STREAM, 0)
    #else
      let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #endif
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    return result == 0 ? client : nil
  }
}

@Suite struct OrderedSumTests {
  @Test(arguments: [1, 3], [1, 15, 16, 70_001]) func rowsAreAddedInTurn(rows: Int, count: Int)
    throws
  {
    let backend = try CPUBackend(threads: 3)
    let (x, y) = backend.allocate { ($0.tensor([rows, count]), $0.tensor([count])) }
    var random = Philox(seed: 3, purpose: .synthetic)
    let values = (0..<rows * count).map { _ in random.nextNormal() * 1e6 }
    let first = (0..<count).map { _ in random.nextNormal() }
    x.assign(values)
    for accumulates in [false, true] {
      y.assign(first)
      backend.addRows(x, into: y, accumulates: accumulates)
      let expected = (0..<count).map { column in
        (0..<rows).reduce(accumulates ? first[column] : -0.0) { sum, row in
          sum + values[row * count + column]
        }
      }
      #expect(y.array == expected)
    }
  }

  /// Parts that begin at blocks have the whole's sums.
  @Test(arguments: [1, 16_384, 100_000]) func squaresOfPartsAreThoseOfTheWhole(count: Int) throws {
    let backend = try CPUBackend(threads: 3)
    let block = CPUBackend.squareBlock
    let blocks = (count + block - 1) / block
    let (x, whole, parts, sum) = backend.allocate { layout in
      (
        layout.tensor([count]), layout.tensor([blocks], .float64),
        layout.tensor([blocks], .float64), layout.tensor([2], .float64)
      )
    }
    var random = Philox(seed: 4, purpose: .synthetic)
    x.assign((0..<count).map { _ in random.nextNormal() })
    backend.sumsOfSquares(x, into: whole)
    for start in stride(from: 0, to: blocks, by: 3) {
      let range = start..<min(start + 3, blocks)
      backend.sumsOfSquares(
        x[range.lowerBound * block..<min(range.upperBound * block, count)], into: parts[range])
    }
    backend.addSums(parts, into: sum[0..<1])
    backend.sumOfSquares(x, into: sum[1..<2])
    let doubles = sum.bytes.bindMemory(to: Double.self)
    #expect(doubles[0] == doubles[1])
    let exact = x.array.reduce(0) { $0 + Double($1) * Double($1) }
    #expect(abs(doubles[0] - exact) <= 1e-9 * exact)
    withExtendedLifetime(whole) {}
  }
}
