import ArgumentParser
import MGLUModel

/// How a model is run for text: its weights and what products see of their inputs.
struct InferenceOptions: ParsableArguments {
  @Option(help: "Weights: fp32, fp16, bf16, int8 (default: as they are stored).")
  var weights: WeightType?
  @Option(
    help: "What products see of their inputs: bf16 (as narrow as the weights) or fp32 (all).")
  var activations: ActivationPrecision = .reduced
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
}

extension WeightType: ExpressibleByArgument {}
extension ActivationPrecision: ExpressibleByArgument {}
