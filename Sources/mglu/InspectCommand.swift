import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu inspect`.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Count parameters, masks and bytes, and look into the masks of a model.",
    discussion: """
      Examples:
        mglu inspect --model run
        mglu inspect --preset paper-large --ffn swimglu --masks 4
        mglu inspect --preset llama-3.2-1b --json
        mglu inspect --diff run/checkpoint-000500 run/checkpoint-001000

      Sizes are those of FP16 weights and 1-bit masks. The gate share of a mask is the share of \
      the matrix that it makes gate; the rest is value. --diff shows the share of each mask's bits \
      that differ between two checkpoints or models of one shape.
      """)

  @Option(help: "A model: its folder, a GGUF file, or a run.", completion: .file())
  var model: String?
  @Option(
    parsing: .upToNextOption, help: "Two models or checkpoints, A B: compare their masks.",
    completion: .directory)
  var diff: [String] = []
  @OptionGroup(title: "Shape, instead of a model") var shape: ShapeOptions
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    guard diff.isEmpty else {
      guard diff.count == 2, model == nil, shape.preset == nil, shape.config == nil else {
        throw ValidationError("--diff takes two folders, A B, and stands alone")
      }
      return
    }
    try shape.validate(besides: model)
  }

  func run() throws {
    guard diff.isEmpty else { return try compareMasks() }
    let configuration: ModelConfiguration
    var shares: [[Double]] = []
    if let model {
      let model = try ModelFolder.load(ModelFolder.locate(model), on: CPUBackend(threads: 1))
      configuration = model.configuration
      shares = model.gateShares
    } else {
      configuration = try shape.configuration(tokenizer: nil, context: nil)
    }
    if json { return Output.json(InspectionDocument(configuration, shares: shares)) }
    Output.line(configuration.summary)
    Output.line("mask bits: \(NumberFormat.grouped(configuration.maskBitCount))")
    if shares.contains(where: { !$0.isEmpty }) {
      printTable(shares, title: "gate share")
    }
  }

  private func compareMasks() throws {
    let backend = try CPUBackend(threads: 1)
    let models = try diff.map { try ModelFolder.load(ModelFolder.locate($0), on: backend) }
    let differences = try models[1].maskDifferences(from: models[0])
    if json {
      return Output.json(MaskDifferenceDocument(layers: differences.map { .init(changed: $0) }))
    }
    guard !differences.isEmpty else { return Output.line("these models have no masks") }
    printTable(differences, title: "bits that differ")
  }

  private func printTable(_ shares: [[Double]], title: String) {
    let masks = shares.first?.count ?? 0
    let terminal = Terminal.output
    // Many masks: as many columns as the width allows, the mean always.
    let shown = min(masks, max(1, (terminal.width - 34) / 7))
    let columns =
      [Table.Column("layer", .right), .init("mean", .right)]
      + (0..<shown).map { .init("M\($0 + 1)", .right) } + [.init(title)]
    var table = Table(columns)
    for (index, layer) in shares.enumerated() {
      let mean = layer.reduce(0, +) / Double(max(1, layer.count))
      let cells = ([mean] + layer.prefix(shown)).map { NumberFormat.fixed(100 * $0, 1) + "%" }
      table.append(
        ["\(index)"] + cells
          + [terminal.isInteractive ? ShareBar.bar(mean, width: 16) : ""])
    }
    Output.table(table)
    if shown < masks { Output.line("(masks \(shown + 1) to \(masks): see --json)") }
  }
}

/// The output of `mglu inspect --json`.
private struct InspectionDocument: Encodable {
  struct Layer: Encodable {
    let gateShare: [Double]
  }

  let parameters: Int
  let maskBits: Int
  let mebibytes: Double
  let layers: [Layer]

  init(_ configuration: ModelConfiguration, shares: [[Double]]) {
    parameters = configuration.weightCount
    maskBits = configuration.maskBitCount
    mebibytes = Double(configuration.deployedByteCount) / 1_048_576
    layers = shares.map { Layer(gateShare: $0) }
  }
}

/// The output of `mglu inspect --diff --json`.
private struct MaskDifferenceDocument: Encodable {
  struct Layer: Encodable {
    let changed: [Double]
  }

  let layers: [Layer]
}
