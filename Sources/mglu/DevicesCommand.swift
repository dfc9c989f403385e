import ArgumentParser
import MGLUBenchmark
import MGLUCompute
import MGLUReports

/// `mglu devices`.
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "List the CPU, the GPUs and the libraries, and report missing ones.",
    discussion: """
      Examples:
        mglu devices
        mglu devices --measure
        mglu devices --json

      Nothing needs CUDA to run on the CPU. What is missing is named with what it is for and how \
      to install it. MGLU_BLAS, MGLU_LIBCUDA, MGLU_NVRTC, MGLU_CUBLASLT and MGLU_NCCL name libraries \
      that lie elsewhere.
      """)

  @Flag(help: "Measure how fast each GPU reads its memory.") var measure = false
  @Flag(help: "Print one JSON document.") var json = false

  func run() throws {
    let report = try DeviceReport(
      readBandwidth: measure
        ? { context throws(CUDAError) in try ReadBandwidth.measure(on: context) } : nil)
    if json { return Output.json(report) }
    Output.line("cpu  \(report.cpu.summary)")
    let memory = NumberFormat.fixed(Double(report.cpu.memoryBytes) / 0x1p30, 1)
    Output.line(
      "     \(memory) GiB, kernels: \(report.cpu.instructionSets.joined(separator: ", "))")
    for gpu in report.gpus { gpu.lines.forEach(Output.line) }
    if let problem = report.gpuProblem { wrapped("no GPU: \(problem)") }
    Output.line("")
    for library in report.libraries where library.path != nil {
      Output.line(library.title(width: 16) + (library.version ?? "found"))
      Output.line("    " + (library.path ?? ""))
    }
    for library in report.libraries where library.path == nil {
      Output.line(library.title(width: 16) + "missing, for \(library.purpose)")
      if let problem = library.problem { wrapped(problem) }
      if let remedy = library.remedy { wrapped(remedy) }
    }
    if let problem = report.kernelCacheProblem {
      Output.line("kernel cache    not used")
      wrapped(problem)
    }
  }

  private func wrapped(_ paragraph: String) {
    WrappedText.lines(paragraph, indent: 4, width: 80).forEach(Output.line)
  }
}

extension DeviceReport.Library {
  fileprivate func title(width: Int) -> String {
    name + String(repeating: " ", count: max(1, width - name.count))
  }
}

extension DeviceReport.GPU {
  fileprivate var lines: [String] {
    func gibibytes(_ bytes: Int) -> String { NumberFormat.fixed(Double(bytes) / 0x1p30, 1) }
    var lines = ["\(device)  \(name), compute capability \(capability), \(multiprocessors) SMs"]
    let free = freeBytes.map { "\(gibibytes($0)) of " } ?? ""
    lines.append(
      "     \(free)\(gibibytes(memoryBytes)) GiB\(freeBytes == nil ? "" : " free"), "
        + "\(l2Bytes >> 20) MiB of L2"
        + (peakGbPerS.map { ", \(NumberFormat.fixed($0, 0)) GB/s at most" } ?? ""))
    if let readGbPerS { lines.append("     reads \(NumberFormat.fixed(readGbPerS, 0)) GB/s") }
    if let problem { lines += WrappedText.lines(problem, indent: 5) }
    return lines
  }
}
