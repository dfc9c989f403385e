import MGLUReference
import MGLUTraining
import Testing

private let hasGPU = (try? CUDADevice.all.isEmpty) == false

private func expect(_ finding: Finding) {
  #expect(
    finding.isWithin,
    "\(finding.kernel): \(finding.worstError) of \(finding.bound) at \(finding.worstCase)")
}

/// Training on a GPU, held against the CPU's.
@Suite(.enabled(if: hasGPU, "this machine has no NVIDIA GPU"), .serialized)
struct CUDATrainingTests {
  let verification: Verification

  init() throws {
    verification = Verification(
      on: try CUDABackend(CUDADevice.find(ordinal: 0), host: CPUBackend(threads: 2)))
  }

  @Test func operationsAgreeWithTheCPU() {
    for operation in verification.trainingOperations { expect(operation()) }
  }

  @Test func gradientsOfDecodersAgreeWithTheCPU() {
    for finding in verification.trainingModels() { expect(finding) }
  }

  @Test func firstStepsHaveTheCPUsLosses() {
    for finding in verification.lossCurves() { expect(finding) }
  }

  @Test func resumedAndRecomputingRunsEndWithTheSameBytes() {
    expect(verification.repeatedRuns())
  }
}

/// The checks themselves, without a GPU: plain C takes its place, beside the best instruction set.
@Suite struct TrainingVerificationTests {
  @Test func instructionSetsAgree() throws {
    let verification = try Verification(instructionSet: "baseline", threads: 2)
    for operation in verification.trainingOperations { expect(operation()) }
    for finding in verification.trainingModels() { expect(finding) }
  }

  @Test func errorsAreSeen() {
    #expect(BackendComparison.error([1, 2], [1, 2], floor: 1) == 0)
    #expect(BackendComparison.error([0, 0], [0, 0], floor: 1) == 0)
    #expect(BackendComparison.error([1, 0], [0, 0], floor: 1) == .infinity)
    #expect(BackendComparison.error([.nan], [1], floor: 1) == .infinity)
    #expect(BackendComparison.error([1], [1, 1], floor: 1) == .infinity)
    // 0.5 beside 1 is half of itself off, and a third of itself and the largest.
    #expect(BackendComparison.error([0.75, 1], [0.5, 1], floor: 0) == 0.5)
    #expect(BackendComparison.error([1, 1], [0.5, 1], floor: 1) == 1.0 / 3)
  }
}
