import Foundation
import Testing

@Suite struct DevicesCommandTests {
  @Test func devicesAreListedOnEveryMachine() throws {
    let result = try mglu(["devices", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let report = try result.json()
    let cpu = try #require(report["cpu"] as? [String: Any])
    #expect((cpu["instruction_sets"] as? [String])?.last == "baseline")
    #expect(report["gpus"] is [Any])
    let libraries = try #require(report["libraries"] as? [[String: Any]])
    let names = libraries.compactMap { $0["name"] as? String }
    #expect(names == ["BLAS", "NVIDIA driver", "NVRTC", "cuBLASLt", "NCCL"])
    for library in libraries {
      // What is there has a path; what is missing says why and what to do.
      let isFound = library["path"] is String
      #expect(isFound || (library["problem"] is String && library["remedy"] is String))
      #expect(library["purpose"] is String)
    }
  }

  @Test func textFitsATerminal() throws {
    let result = try mglu(["devices"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.hasPrefix("cpu  CPU, "))
    // A path is one word, however long.
    for line in result.output.split(separator: "\n")
    where line.contains("     ") || line.contains(", ") {
      #expect(line.count <= 80 || line.contains("/"), "\(line)")
    }
  }
}
