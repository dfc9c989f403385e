import MGLUModel

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Linear warm-up, then half a cosine down to a minimum.
public struct LearningRateSchedule: Sendable, Equatable {
  /// The rate at the end of the warm-up.
  public var peak: Double
  /// The rate at the end of training.
  public var minimum: Double
  /// Steps of the warm-up.
  public var warmupSteps: Int
  /// Steps in all.
  public var steps: Int

  /// Creates a schedule.
  public init(peak: Double, minimum: Double, warmupSteps: Int, steps: Int) {
    self.peak = peak
    self.minimum = minimum
    self.warmupSteps = warmupSteps
    self.steps = steps
  }

  /// The rate of `step`, counted from 0.
  public subscript(step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
    let progress = Double(step - warmupSteps) / Double(max(1, steps - warmupSteps))
    return minimum + (peak - minimum) * 0.5 * (1 + cos(Double.pi * min(1, progress)))
  }
}
