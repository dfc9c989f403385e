import ArgumentParser
import MGLUModel

/// How to run a model: its precision, and where.
struct InferenceOptions: ParsableArguments {
  @OptionGroup var precision: PrecisionOptions
  @Option(help: DeviceGroup.help, transform: { try DeviceGroup(parsing: $0) })
  var device = DeviceGroup.cpu
  @Option(help: "Share the model out to this many processes of this machine, on the CPU.")
  var ranks = 1

  func validate() throws {
    guard (1...1024).contains(ranks) else {
      throw ValidationError("--ranks \(ranks): expected 1 to 1024")
    }
    if ranks > 1, device.devices != [.cpu] {
      throw ValidationError("--ranks is for the CPU: name the GPUs, as in --device cuda:0,1")
    }
  }

  /// The device of each rank that shares the model.
  var devices: [Device] {
    ranks == 1 ? device.devices : Array(repeating: .cpu, count: ranks)
  }
}

/// The precision of weights and of the inputs of products.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: """
      How weights are stored (default: as they are; FP16 for Q4_1, Q5_1 and K-quants of GGUF; on a \
      GPU BF16 for FP32).
      """)
  var weights: WeightType?
  @OptionGroup var inputs: InputPrecisionOptions
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
