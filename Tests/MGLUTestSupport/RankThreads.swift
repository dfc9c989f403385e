import Foundation
import MGLUCompute
import Synchronization

/// Runs `body` as each of `count` ranks, which are threads of this process and meet on loopback; returns
/// what the ranks return, by rank.
package func withRanks<Result: Sendable>(
  _ count: Int,
  patience: RankPatience = RankPatience(meeting: .seconds(60), silence: .seconds(60)),
  _ body: @escaping @Sendable (RankGroup) throws -> Result
) throws -> [Swift.Result<Result, any Error>] {
  let meeting = try RankMeetingPoint()
  let results = Mutex<[Int: Swift.Result<Result, any Error>]>([:])
  let everyone = DispatchGroup()
  for rank in 0..<count {
    // The meeting point keeps its own descriptor.
    let listener = rank == 0 ? dup(meeting.descriptor) : nil
    let launch = RankLaunch(
      rank: rank, size: count, localRank: rank, address: "127.0.0.1", port: meeting.port)
    everyone.enter()
    // Threads of their own: a rank waits for the others.
    Thread.detachNewThread {
      let result = Swift.Result {
        let group = try RankGroup.join(launch, patience: patience, listener: listener)
        let result = try body(group)
        group.leave()
        return result
      }
      results.withLock { $0[rank] = result }
      everyone.leave()
    }
  }
  everyone.wait()
  return results.withLock { found in (0..<count).map { found[$0]! } }
}
