import MGLUCompute
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
  @Test(arguments: [1, 2, 3, 7])
  func everyElementIsVisitedOnce(threads: Int) throws {
    let pool = try ThreadPool(threadCount: threads)
    for count in [0, 1, 2, 5, 16, 17, 1000] {
      for unit in [1, 16] {
        let visits = (0..<count).map { _ in Counter() }
        pool.forEachRange(of: count, unit: unit) { $0.forEach { visits[$0].increment() } }
        #expect(visits.allSatisfy { $0.value == 1 })
        pool.forEach(count) { item, _ in visits[item].increment() }
        #expect(visits.allSatisfy { $0.value == 2 })
      }
    }
  }

  @Test func workersWakeAfterParkingAndJobsMayNest() async throws {
    let pool = try ThreadPool(threadCount: 3)
    let total = Counter()
    for round in 0..<6 {
      if round % 2 == 1 { try await Task.sleep(for: .milliseconds(5)) }
      pool.run { _ in pool.run { _ in total.increment() } }
    }
    #expect(total.value == 6 * 3 * 3)
  }

  @Test func jobsFromManyThreadsTakeTurns() async throws {
    let pool = try ThreadPool(threadCount: 2)
    let total = Counter()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask { for _ in 0..<100 { pool.run { _ in total.increment() } } }
      }
    }
    #expect(total.value == 8 * 100 * 2)
  }
}

private final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .relaxed) }
  func increment() { count.wrappingAdd(1, ordering: .relaxed) }
}
