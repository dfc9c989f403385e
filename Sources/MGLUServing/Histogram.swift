/// A histogram of seconds, in Prometheus's exposition format.
struct Histogram {
  private let bounds: [Double]
  private var counts: [Int]
  private var sum = 0.0

  /// A histogram with buckets up to each of `bounds`, which ascend, and one for everything above.
  init(_ bounds: [Double]) {
    self.bounds = bounds
    counts = [Int](repeating: 0, count: bounds.count + 1)
  }

  mutating func add(_ seconds: Double) {
    counts[bounds.firstIndex { seconds <= $0 } ?? bounds.count] += 1
    sum += seconds
  }

  func exposition(_ name: String, _ help: String, _ label: String) -> String {
    var lines = "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
    var total = 0
    for (index, count) in counts.enumerated() {
      total += count
      let bound = index < bounds.count ? "\(bounds[index])" : "+Inf"
      lines += "\(name)_bucket{\(label),le=\"\(bound)\"} \(total)\n"
    }
    return lines + "\(name)_sum{\(label)} \(sum)\n\(name)_count{\(label)} \(total)\n"
  }
}
