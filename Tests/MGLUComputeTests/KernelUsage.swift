/// What ptxas says of a kernel.
struct KernelUsage: Sendable, Equatable {
  var kernel: String
  var registers = 0
  var stackBytes = 0
  var spillStoreBytes = 0
  var spillLoadBytes = 0
  var sharedBytes = 0

  /// Reads the log of a compilation with `--ptxas-options=-v`.
  static func parse(_ log: String) -> [KernelUsage] {
    var usages: [KernelUsage] = []
    for line in log.split(separator: "\n") {
      // The number before `text`, as in "272 bytes stack frame, 540 bytes spill stores, ...".
      func number(before text: String) -> Int? {
        let words = line.split(separator: " ")
        let following = text.split(separator: " ")
        return words.indices.dropLast(following.count).first { index in
          zip(words[(index + 1)...], following).allSatisfy { $0.hasPrefix($1) }
        }.flatMap { Int(words[$0]) }
      }
      if line.contains("Compiling entry function") {
        let parts = line.split(separator: "'")
        usages.append(KernelUsage(kernel: parts.count > 1 ? String(parts[1]) : "?"))
      }
      guard let last = usages.indices.last else { continue }
      if let bytes = number(before: "bytes stack frame") { usages[last].stackBytes = bytes }
      if let bytes = number(before: "bytes spill stores") { usages[last].spillStoreBytes = bytes }
      if let bytes = number(before: "bytes spill loads") { usages[last].spillLoadBytes = bytes }
      if let bytes = number(before: "bytes smem") { usages[last].sharedBytes = bytes }
      if line.contains("Used "), let count = number(before: "registers") {
        usages[last].registers = count
      }
    }
    return usages
  }

  /// Whether a thread touches memory that the source does not name.
  var usesLocalMemory: Bool { stackBytes + spillStoreBytes + spillLoadBytes > 0 }
}
