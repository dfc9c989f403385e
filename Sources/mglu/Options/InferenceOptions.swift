import ArgumentParser
import MGLUModel

/// How to run a model: the precision of its weights and of the inputs of products.
struct InferenceOptions: ParsableArguments {
  @Option(
    help: """
      How weights are stored (default: as they are; FP16 for Q4_1, Q5_1 and K-quants of GGUF; on a \
      GPU BF16 for FP32).
      """)
  var weights: WeightType?
  @OptionGroup var inputs: InputPrecisionOptions
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
}

/// `--input-precision`, and its former name `--activations`.
struct InputPrecisionOptions: ParsableArguments {
  @Option(
    help: "Inputs of products: fp32, or bf16, as narrow as the weights (default: bf16).")
  var inputPrecision: InputPrecision?
  @Option(name: .customLong("activations"), help: .hidden) var formerName: InputPrecision?

  func validate() throws {
    if inputPrecision != nil, formerName != nil {
      throw ValidationError("--input-precision and --activations are the same option: give one")
    }
  }

  /// The precision that the arguments ask for.
  var precision: InputPrecision { inputPrecision ?? formerName ?? .reduced }
}

extension WeightType: ExpressibleByArgument {
  /// The type that an argument names, here or in llama.cpp.
  public init?(argument: String) {
    switch argument {
    case "f32": self = .float32
    case "f16": self = .float16
    case "q8_0": self = .int8
    default: self.init(rawValue: argument)
    }
  }
}

extension InputPrecision: ExpressibleByArgument {}
