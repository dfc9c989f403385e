import ArgumentParser
import MGLUModel

/// How a model is run for text: its weights and what products see of their inputs.
struct InferenceOptions: ParsableArguments {
  @Option(help: "How weights are stored (default: as they are; on a GPU BF16 for FP32).")
  var weights: WeightType?
  @Option(help: "What products see of their inputs: bf16 is as narrow as the weights.")
  var activations: InputPrecision = .reduced
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
}

extension WeightType: ExpressibleByArgument {}
extension InputPrecision: ExpressibleByArgument {}
