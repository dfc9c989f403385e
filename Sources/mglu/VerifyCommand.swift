import ArgumentParser
import MGLUModel
import MGLUReference
import MGLUReports

/// `mglu verify`.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check every kernel of this machine against a float64 reference.",
    discussion: """
      Examples:
        mglu verify
        mglu verify --threads 3 --json
        mglu verify --device cuda
        mglu verify --device cuda --only training

      Every instruction set that the machine has, or a GPU, over odd shapes, batches, weight types \
      and mask counts, and over a matrix of more than 2^31 elements where memory allows. An error is \
      ||a - b|| / ||b||; of drawn tokens, how many draws one is off. A GPU's training is held against \
      the CPU's: every operation, relative to each element or to the largest, whole models, and \
      runs of 50 steps. Ends with status 1 where one is beyond its bound.
      """)

  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Option(help: "One part: inference, of it units or models, or a GPU's training.")
  var only: Verification.Part?
  @Flag(help: "Leave out the matrix of more than 2^31 elements.") var skipLarge = false
  @Flag(help: "Print one JSON document.") var json = false

  func run() throws {
    var findings: [Finding] = []
    func take(_ new: [Finding]) {
      findings += new
      if !json { for finding in new { Output.line(finding.line) } }
    }
    let host = try CPUBackend(threads: threads)
    if !json { Output.line(Finding.titles) }
    let verifications = try device.inferenceBackend(host: host).variants().map(
      Verification.init(on:))
    let parts = only.map { [$0] } ?? Set(Verification.Part.allCases)
    for verification in verifications { try verification.findings(of: parts, take) }
    if parts.contains(.inference) { try takeLarge(verifications, host, take) }
    guard !findings.isEmpty else {
      throw BackendError(
        .operation, "nothing was checked: a GPU's training is held against the CPU's",
        remedy: "give --device cuda")
    }
    let misses = findings.count { !$0.isWithin }
    if json {
      struct Document: Encodable {
        let findings: [Finding]
        let misses: Int
      }
      Output.json(Document(findings: findings, misses: misses))
    } else {
      let cases = findings.reduce(0) { $0 + $1.cases }
      Output.line(
        misses == 0
          ? "all \(NumberFormat.grouped(cases)) cases are within their bounds"
          : "\(misses) of \(findings.count) kernels are beyond their bounds")
    }
    if misses > 0 { throw ExitCode.failure }
  }

  private func takeLarge(
    _ verifications: [Verification], _ host: CPUBackend, _ take: ([Finding]) -> Void
  ) throws {
    if skipLarge { return }
    var isLeftOut = 2 * LargeUnit.byteCount >= Double(PhysicalMemory.byteCount)
    for backend in verifications.map(\.backend) {
      if let memory = backend.deviceMemory, Double(memory.free) < LargeUnit.byteCount(on: backend) {
        isLeftOut = true
      }
    }
    guard !isLeftOut else {
      return Output.note("too little memory for a matrix of more than 2^31 elements: left out")
    }
    let unit = LargeUnit(on: host)
    for verification in verifications { take([try unit.finding(on: verification)]) }
  }
}

extension Verification.Part: ExpressibleByArgument {}

extension Finding {
  private static func cells(_ cells: [String]) -> String {
    let widths = [-20, -10, -7, -11, 5, 7, 7, 0]
    return zip(cells, widths).map { cell, width in
      let space = String(repeating: " ", count: max(0, abs(width) - cell.count))
      return width < 0 ? cell + space : space + cell
    }.joined(separator: " ")
  }

  fileprivate static var titles: String {
    cells(["kernel", "set", "weights", "activations", "cases", "error", "bound", "verdict"])
  }

  fileprivate var line: String {
    Self.cells([
      kernel, instructionSet, weights, activations, "\(cases)",
      NumberFormat.scientific(worstError), NumberFormat.scientific(bound),
      isWithin ? "ok" : "MISS: \(worstCase)",
    ])
  }
}
