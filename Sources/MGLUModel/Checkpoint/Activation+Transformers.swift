extension Activation {
  /// The spelling of transformers' `hidden_act`, that of its ACT2FN: ours, but for two.
  var transformersName: String {
    switch self {
    case .geluTanh: "gelu_pytorch_tanh"
    case .identity: "linear"
    default: rawValue
    }
  }

  /// The activation of a transformers' spelling.
  init?(transformersName name: String) {
    switch name {
    case "swish": self = .silu
    case "gelu_new", "gelu_fast": self = .geluTanh
    case "identity": self = .identity
    default:
      guard let found = Self.allCases.first(where: { $0.transformersName == name }) else {
        return nil
      }
      self = found
    }
  }
}
