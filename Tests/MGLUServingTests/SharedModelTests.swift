import Foundation
import MGLUServing
import MGLUServingTestSupport
import MGLUTestSupport
import Synchronization
import Testing

/// An engine on rank 0 of several that share its model.
@Suite struct SharedModelTests {
  private static func model() throws -> LanguageModel {
    let model = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 257, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 16),
        feedForward: .init(hiddenSize: 48, intermediateSize: 130, unit: .mglu(.init(count: 2))),
        contextLength: 600), on: CPUBackend(threads: 1))
    model.initialize(seed: 2)
    return model
  }

  private static func share(
    of model: LanguageModel, _ group: RankGroup, on backend: any InferenceBackend
  ) throws -> InferenceModel {
    try InferenceModel(
      model.configuration, from: model, on: backend, communicator: backend.communicator(of: group))
  }

  /// Ranks as threads, for which this task waits: tasks that they wait for need its thread.
  private static func withRanks<Result: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (RankGroup) throws -> Result
  ) async throws -> [Result] {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(
          with: Swift.Result {
            try MGLUTestSupport.withRanks(count, body).map { try $0.get() }
          })
      }
    }
  }

  /// Runs `body` while a rank's thread waits.
  private static func wait<Result: Sendable>(
    for body: @escaping @Sendable () async throws -> Result
  ) throws -> Result {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<Swift.Result<Result, any Error>?>(nil)
    Task.detached {
      let found: Swift.Result<Result, any Error>
      do { found = .success(try await body()) } catch { found = .failure(error) }
      result.withLock { $0 = found }
      done.signal()
    }
    done.wait()
    return try result.withLock { $0! }.get()
  }

  private static let requests = (0..<9).map { index in
    GenerationRequest(
      prompt: EngineTests.prompt(index), maxTokens: 6 + index % 4,
      sampling: .init(temperature: index % 2 == 0 ? 0 : 1, seed: UInt64(index)))
  }

  private static func answers(_ model: InferenceModel) throws -> [[Int32]] {
    let engine = try Engine(model, tokenizer: .bytes, settings: .init(maxSequences: 4))
    let ids = try wait {
      let events = await RecordedEvents(try engine.submit(requests))
      return requests.indices.map { events.ids(of: $0) }
    }
    engine.drain()
    try wait { await engine.waitUntilEnded() }
    return ids
  }

  /// More sequences than run at once.
  @Test func answersAreThoseOfOneRank() async throws {
    let model = try Self.model()
    let results = try await Self.withRanks(2) { group -> [[Int32]] in
      let share = try Self.share(of: model, group, on: CPUBackend(threads: 1))
      guard group.isLeader else {
        let follower = SessionFollower(share)
        try follower.run()
        #expect(follower.sessions.isEmpty)
        return []
      }
      let answers = try Self.answers(share)
      try share.endFollowers()
      return answers
    }
    #expect(results[1].isEmpty)
    let alone = try await Self.withRanks(1) { _ in try Self.answers(InferenceModel(model)) }
    #expect(results[0] == alone[0])
  }

  /// A rank that ends is a failure of the device.
  @Test func aLostRankFailsTheEngine() async throws {
    let model = try Self.model()
    let results = try await Self.withRanks(2) { group -> ServingError? in
      let share = try Self.share(of: model, group, on: CPUBackend(threads: 1))
      guard group.isLeader else {
        let follower = SessionFollower(share)
        for _ in 0..<20 { _ = try follower.next() }
        group.abandon("no power")
        return nil
      }
      let engine = try Engine(share, tokenizer: .bytes)
      let error = try Self.wait {
        await RecordedEvents(try engine.submit([.init(prompt: [1], maxTokens: 500)])).error
      }
      try engine.wait { engine.state == .failed }
      return error
    }
    #expect(results[0]?.code == .device)
  }

  /// The KV cache is as large as the least device allows.
  @Test func memoryIsTheLeastOfAllRanks() async throws {
    let model = try Self.model()
    let found = try await Self.withRanks(2) { group -> [Int] in
      let memory = [(900, 990), (700, 1000)][group.rank]
      let share = try Self.share(of: model, group, on: FailingBackend(memory: memory))
      let least = try #require(share.deviceMemory)
      return [least.free, least.total]
    }
    #expect(found.allSatisfy { $0 == [700, 990] })
  }
}
