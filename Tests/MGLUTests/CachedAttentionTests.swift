import MGLU
import MGLUReference
import Testing

/// Attention over a KV cache in blocks against the float64 reference, on the oldest and the newest
/// instruction set: shapes, steps and bounds are those of `mglu verify`.
@Suite struct CachedAttentionTests {
  @Test(arguments: Set([CPUBackend.instructionSets.first, CPUBackend.instructionSets.last]))
  func attentionAgreesWithTheReference(instructionSet: String?) throws {
    let set = try #require(instructionSet)
    for finding in try Verification(instructionSet: set, threads: 2).attention() {
      #expect(
        finding.isWithin, "\(finding.worstError) of \(finding.bound) at \(finding.worstCase)")
    }
  }
}
