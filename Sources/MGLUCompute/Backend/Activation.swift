/// The gate activation g of a feed-forward unit.
public enum Activation: String, Sendable, CaseIterable, Codable {
  /// 1 / (1 + e^-x).
  case sigmoid
  /// x sigmoid(x), also called Swish.
  case silu
  /// x Phi(x), with the exact normal distribution.
  case gelu
  /// GELU's tanh approximation, x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.
  case geluTanh = "gelu_tanh"
  /// max(x, 0), with derivative 0 at 0.
  case relu
  /// max(x, 0)^2, squared ReLU.
  case relu2
  /// x: the bilinear unit.
  case identity
}
