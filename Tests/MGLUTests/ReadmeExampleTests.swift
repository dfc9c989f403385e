import MGLU
import MGLUTestSupport
import Testing

@Suite struct ReadmeExampleTests {
  /// What follows is the example of the README, which ``exampleIsThatOfTheReadme()`` holds equal.
  @Test func exampleRuns() throws {
    // example:begin
    let backend = try CPUBackend()
    let swiMGLU = try MaskedGatedLinearUnit(
      hiddenSize: 128, intermediateSize: 512, masks: 4, activation: .silu, on: backend)
    let x = backend.allocate { $0.tensor([3, 128]) }
    x.assign((0..<x.count).map { Float($0 % 7) - 3 })
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
