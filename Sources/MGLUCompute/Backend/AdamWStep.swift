/// The scalars of one AdamW step.
public struct AdamWStep: Sendable {
  /// Learning rate of this step.
  public var learningRate: Float
  /// Decay of the first moment.
  public var beta1: Float
  /// Decay of the second moment.
  public var beta2: Float
  /// Added to the root of the second moment.
  public var epsilon: Float
  /// Decoupled weight decay: w -= learningRate * weightDecay * w.
  public var weightDecay: Float
  /// The number of this step, from 1, for the bias correction.
  public var step: Int
  /// Gradients of a larger global norm are scaled down to it; 0 for any norm.
  public var clipNorm: Float

  /// Creates the scalars.
  public init(
    learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, step: Int,
    clipNorm: Float = 0
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.step = step
    self.clipNorm = clipNorm
  }

  /// 1 - beta^step of both moments, in float64: of a beta near 1 the difference cancels.
  var biasCorrections: (first: Float, second: Float) {
    func power(_ base: Float) -> Double {
      var (result, square, left) = (1.0, Double(base), step)
      while left > 0 {
        if left % 2 == 1 { result *= square }
        square *= square
        left /= 2
      }
      return result
    }
    return (Float(1 - power(beta1)), Float(1 - power(beta2)))
  }

  /// What gradients of a global norm are multiplied by.
  func gradientScale(norm: Double) -> Float {
    clipNorm > 0 && norm > Double(clipNorm) ? clipNorm / Float(norm) : 1
  }
}
