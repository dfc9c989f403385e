/// How long steps take here with all that comes between them: validations, checkpoints, new runs.
public struct Pace {
  private var computed = 0
  private var last = 0

  /// Creates a pace of no steps.
  public init() {}

  /// Notes that a run begins, or goes on, after `step` of its steps.
  public mutating func begin(at step: Int) { last = step }

  /// Notes that a step of the run is done.
  public mutating func reach(_ step: Int) {
    computed += step - last
    last = step
  }

  /// The seconds that `steps` more take, where those so far have taken `elapsed`.
  public func seconds(for steps: Int, after elapsed: Double) -> Double {
    elapsed / Double(max(1, computed)) * Double(steps)
  }
}
