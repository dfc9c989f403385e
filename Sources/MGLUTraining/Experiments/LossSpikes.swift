/// Where a training loss jumped: after the warm-up, a step whose loss is above the mean of the 50
/// steps before by more than 6 of their standard deviations and by at least 0.1 nats, or not finite. Steps within
/// 50 of a spike belong to it.
public enum LossSpikes {
  static let window = 50
  static let deviations = 6.0
  static let leastJump = 0.1

  /// The rule in a sentence, for reports.
  public static let rule =
    "A run spiked where, after the warm-up, a step's training loss is above the mean of the "
    + "\(window) steps before by more than \(Int(deviations)) of their standard deviations and by "
    + "at least \(leastJump) nats, or not finite; steps within \(window) of a spike belong to it."

  /// The steps, from 1, at which spikes begin.
  package static func steps(of losses: [Double], after warmup: Int) -> [Int] {
    var result: [Int] = []
    for index in stride(from: max(warmup, window), to: losses.count, by: 1) {
      if let last = result.last, index + 1 - last <= window { continue }
      let before = losses[index - window..<index]
      let jump = losses[index] - before.mean
      let bound = max(leastJump, deviations * (before.standardDeviation ?? 0))
      if jump > bound || !losses[index].isFinite { result.append(index + 1) }
    }
    return result
  }
}
