import MGLUModel
import RealModule

extension Activation {
  /// g(x) in float64, as the paper's table of units names it.
  package func value(_ x: Double) -> Double {
    switch self {
    case .sigmoid: sigmoid(x)
    case .silu: x * sigmoid(x)
    case .gelu: x * normalDistribution(x)
    case .geluTanh: 0.5 * x * (1 + .tanh(tanhArgument(x)))
    case .relu: max(x, 0)
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
      let tanh = Double.tanh(tanhArgument(x))
      let inner = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
      return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * inner
    case .relu: return x > 0 ? 1 : 0
    case .identity: return 1
    }
  }

  /// 1 / (1 + e^-x).
  private func sigmoid(_ x: Double) -> Double { 1 / (1 + .exp(-x)) }

  /// Phi(x), by the complementary error function, which keeps the lower tail's digits.
  private func normalDistribution(_ x: Double) -> Double {
    0.5 * .erfc(-x / 2.0.squareRoot())
  }

  /// sqrt(2/pi) (x + 0.044715 x^3).
  private func tanhArgument(_ x: Double) -> Double {
    (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
  }
}
