import Foundation
import MGLUFuzzTargets
import MGLUTestSupport
import Testing

/// The inputs that a fuzzer has kept, and those that something was found with. Those of connections are for
/// `make fuzz` alone: a server that lives here would wait for threads that other tests block for minutes.
@Suite struct CorpusTests {
  @Test(arguments: FuzzTarget.allCases.filter { $0 != .http })
  func inputsDoNoHarm(target: FuzzTarget) async throws {
    let folder = URL(filePath: RepositoryFolder.root + "/Fuzz/corpus/" + target.rawValue)
    let files = try FileManager.default.contentsOfDirectory(
      at: folder, includingPropertiesForKeys: nil)
    #expect(!files.isEmpty)
    // Requests block their thread until tasks are done, so it must be none of those that tasks run on: the
    // threads of Dispatch's queues are.
    let findings = await withCheckedContinuation { done in
      Thread.detachNewThread {
        let findings = files.compactMap { file -> String? in
          do { try target(Array(try Data(contentsOf: file))) } catch {
            return "\(file.lastPathComponent): \(error)"
          }
          return nil
        }
        done.resume(returning: findings)
      }
    }
    #expect(findings == [])
  }
}
