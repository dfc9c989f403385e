import MGLU
import MGLUTestSupport
import Testing

@Suite struct ReadmeExampleTests {
  /// What follows is the example of the README, which ``exampleIsThatOfTheReadme()`` holds equal.
  @Test func exampleRuns() throws {
    // example:begin
    let backend = try CPUBackend()
    let (w, l, x) = backend.allocate { memory in
      (memory.tensor([512, 128]), memory.tensor([4, 512, 128]), memory.tensor([3, 128]))
    }
    var random = Philox(seed: 1, purpose: .initialization)
    for tensor in [w, l, x] { tensor.assign((0..<tensor.count).map { _ in random.nextNormal() }) }
    let swiMGLU = MaskedGatedLinearUnit(weight: w, maskLogits: l, activation: .silu)
    let a = swiMGLU(x, on: backend)  // [3, 512]
    print(a.array.prefix(4))
    // example:end
    #expect(a.shape == [3, 512] && a.isFinite)
  }

  @Test func exampleIsThatOfTheReadme() throws {
    let readme = try lines(
      RepositoryFolder.root + "/README.md", between: "```swift", and: "```")
    let test = try lines(#filePath, between: "// example:begin", and: "// example:end")
    #expect(!test.isEmpty && Array(readme.dropFirst(1)) == test)
  }

  private func lines(_ path: String, between first: String, and last: String) throws -> [String] {
    let text = String(decoding: try MappedFile(path: path).contents, as: UTF8.self)
    let all = text.split(separator: "\n").map { line in String(line.drop { $0 == " " }) }
    let start = try #require(all.firstIndex(of: first))
    let end = try #require(all[(start + 1)...].firstIndex(of: last))
    return all[(start + 1)..<end].map { $0 }
  }
}
