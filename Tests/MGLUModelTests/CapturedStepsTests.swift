import MGLUCompute
import MGLUModel
import Testing

@Suite struct CapturedStepsTests {
  /// A step is called as directly after many of its kind as at first. Closures that wrapped each other,
  /// one more at each step, once ended servers after some hundred thousand.
  @Test(arguments: [1, 3])
  func stepsDoNotGrowWithTheirNumber(kinds: Int) throws {
    var steps = CapturedSteps(on: try CPUBackend(threads: 1))
    var places: [Set<UInt>] = Array(repeating: [], count: kinds)
    for step in 0..<1000 {
      let kind = step % kinds
      steps.enqueue(.init(rows: kind + 1, turn: nil)) {
        var local: UInt8 = 0
        places[kind].insert(withUnsafeMutablePointer(to: &local) { UInt(bitPattern: $0) })
      }
    }
    // The stack of the first call, which captures too, may differ from that of the others.
    #expect(places.allSatisfy { (1...2).contains($0.count) })
  }
}
