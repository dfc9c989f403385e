import ArgumentParser
import MGLUModel
import Testing
import mglu

/// Which GPUs `--replicas` chooses, by the names of those that there are.
@Suite struct ReplicaOptionsTests {
  private static let four = Array(repeating: "H100", count: 4)

  private static func devices(
    _ replicas: String, _ device: String, _ names: [String] = four
  ) throws -> [String] {
    let replicas = try #require(Replicas(argument: replicas))
    try replicas.validate()
    return try replicas.devices(from: Device(parsing: device), gpus: { names })
      .map(\.description)
  }

  @Test(arguments: [
    ("1", "cuda:2", ["cuda:2"]), ("2", "cuda", ["cuda:0", "cuda:1"]),
    ("2", "cuda:1", ["cuda:1", "cuda:2"]),
    ("4", "cuda:0", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
    ("all", "cuda", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]), ("all", "cuda:3", ["cuda:3"]),
    ("cuda:0,cuda:2", "cpu", ["cuda:0", "cuda:2"]),
    ("cuda:3,cuda:1", "cuda:1", ["cuda:3", "cuda:1"]),
    ("cuda", "cpu", ["cuda:0"]),
  ])
  func theyAreTheOnesNamed(replicas: String, device: String, expected: [String]) throws {
    #expect(try Self.devices(replicas, device) == expected)
  }

  /// Nobody asks for GPUs where none is chosen: there may be no driver.
  @Test(arguments: [("1", "cpu", 1), ("3", "cpu", 3), ("1", "cuda:5", 1)])
  func theOthersNeedNoDriver(replicas: String, device: String, count: Int) throws {
    let device = try Device(parsing: device)
    let found = try Replicas(argument: replicas)?.devices(from: device) {
      Issue.record("asked for GPUs")
      return []
    }
    #expect(found == Array(repeating: device, count: count))
  }

  @Test(arguments: [
    ("0", "cpu", "1 to 1024"), ("1025", "cpu", "1 to 1024"), ("all", "cpu", "--device cuda"),
    ("4", "cuda:1", "cuda:0, cuda:1, cuda:2, cuda:3"), ("5", "cuda", "cuda:0, cuda:1"),
    ("2", "cuda:4", "no GPU cuda:4"), ("all", "cuda:9", "no GPU cuda:9"),
    ("cuda:0,cuda:7", "cpu", "no GPU cuda:7"), ("cuda:0,cuda:0", "cpu", "named twice"),
    ("cpu,cuda:0", "cpu", "number"), ("cuda:0,cuda:1", "cuda:2", "contradict"),
  ])
  func othersAreRefused(replicas: String, device: String, words: String) throws {
    do {
      let found = try Self.devices(replicas, device)
      Issue.record("\(found)")
    } catch { #expect("\(error)".contains(words), "\(error)") }
  }

  /// Requests get the same answers everywhere.
  @Test func theyAreOfOneKind() throws {
    let names = ["H100", "H100", "A100", "H100"]
    #expect(try Self.devices("2", "cuda", names) == ["cuda:0", "cuda:1"])
    #expect(try Self.devices("cuda:3,cuda:0", "cpu", names) == ["cuda:3", "cuda:0"])
    for (replicas, device) in [
      ("all", "cuda"), ("3", "cuda:0"), ("2", "cuda:1"), ("cuda:2,cuda:0", "cpu"),
    ] {
      do {
        let found = try Self.devices(replicas, device, names)
        Issue.record("\(found)")
      } catch { #expect("\(error)".contains("cuda:2 (A100)"), "\(error)") }
    }
  }

  @Test(arguments: ["", "x", "cuda:0,", "cuda:0,,cuda:1", "1,2", "cuda:x"])
  func whatNamesNoneIsNoArgument(text: String) { #expect(Replicas(argument: text) == nil) }
}
