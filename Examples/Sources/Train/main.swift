// Trains a small SwiMGLU model on a text, for a minute or so, and saves it:
//
//     swift run -c release Train input.txt run
import MGLUTraining

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("give a text file, and a folder to write") }
var shape = ModelPreset.nano.configuration
shape.feedForward.unit = .mglu(MaskConfiguration(count: 4))
let model = try LanguageModel(shape, seed: 1, on: CPUBackend())
let trainer = try Trainer(
  model, tokenizer: .bytes, corpus: Corpus(contentsOf: arguments[1], tokenizer: .bytes),
  configuration: TrainingConfiguration(steps: 300), output: arguments[2])
try trainer.prepareOutput(resume: false) { _ in }
let summary = try trainer.run { event in
  if case .step(let report) = event, report.step % 50 == 0 {
    print("step \(report.step): loss \(report.loss)")
  }
}
print("\(arguments[2]): \(summary.tokensPerSecond) tokens/s")
