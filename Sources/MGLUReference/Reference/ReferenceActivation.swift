import MGLUModel
import RealModule

extension Activation {
  /// g(x) in float64, as the paper's table of units names it.
  package func value(_ x: Double) -> Double {
    switch self {
    case .sigmoid: sigmoid(x)
    case .silu: x * sigmoid(x)
    case .gelu: x * normalDistribution(x)
    case .geluTanh: x * sigmoid(2 * tanhArgument(x))
    case .relu: max(x, 0)
    case .relu2: max(x, 0) * max(x, 0)
    case .identity: x
    }
  }

  /// g'(x) in float64; ReLU's is 0 at 0, as PyTorch has it.
  package func slope(_ x: Double) -> Double {
    switch self {
    case .sigmoid: return sigmoid(x) * (1 - sigmoid(x))
    case .silu: return sigmoid(x) * (1 + x * (1 - sigmoid(x)))
    case .gelu:
      let density = Double.exp(-x * x / 2) / (2 * Double.pi).squareRoot()
      return normalDistribution(x) + x * density
    case .geluTanh:
      let y = sigmoid(2 * tanhArgument(x))
      let inner = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
      return y + 2 * x * y * (1 - y) * inner
    case .relu: return x > 0 ? 1 : 0
    case .relu2: return 2 * max(x, 0)
    case .identity: return 1
    }
  }

  /// 1 / (1 + e^-x).
  private func sigmoid(_ x: Double) -> Double { 1 / (1 + .exp(-x)) }

  /// Phi(x), by the complementary error function, which keeps the lower tail's digits.
  private func normalDistribution(_ x: Double) -> Double {
    0.5 * .erfc(-x / 2.0.squareRoot())
  }

  /// u = sqrt(2/pi) (x + 0.044715 x^3) of GELU's approximation x (1 + tanh u) / 2, which is
  /// x sigmoid(2 u) without the cancellation at negative x.
  private func tanhArgument(_ x: Double) -> Double {
    (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
  }
}
