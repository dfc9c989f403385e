import MGLUModel
import Testing

@Suite struct ModelSizeTests {
  struct Row: Sendable {
    let preset: ModelPreset
    let unit: FeedForwardUnitKind
    let mebibytes: Double
  }

  /// Table 6 of the paper, whole.
  static let table6 = [
    Row(preset: .paperSmall, unit: .lu, mebibytes: 215),
    Row(preset: .paperSmall, unit: .glu, mebibytes: 269),
    Row(preset: .paperSmall, unit: .mglu(.init(count: 1)), mebibytes: 219),
    Row(preset: .paperSmall, unit: .mglu(.init(count: 2)), mebibytes: 222),
    Row(preset: .paperSmall, unit: .mglu(.init(count: 4)), mebibytes: 229),
    Row(preset: .paperSmall, unit: .mglu(.init(count: 8)), mebibytes: 242),
    Row(preset: .paperLarge, unit: .glu, mebibytes: 2052),
    Row(preset: .paperLarge, unit: .mglu(.init(count: 1)), mebibytes: 1573),
    Row(preset: .paperLarge, unit: .mglu(.init(count: 2)), mebibytes: 1605),
    Row(preset: .paperLarge, unit: .mglu(.init(count: 4)), mebibytes: 1669),
  ]

  @Test(arguments: table6) func sizesAreThoseOfThePaper(row: Row) {
    var configuration = row.preset.configuration
    configuration.feedForward.unit = row.unit
    // The paper rounds to whole MiB.
    #expect(abs(Double(configuration.deployedByteCount) / 1_048_576 - row.mebibytes) < 1)
  }

  @Test func countsAreThoseOfTheParameters() throws {
    var configuration = ModelPreset.nano.configuration
    configuration.feedForward.unit = .mglu(.init(count: 3, routerTopK: 2))
    let model = try LanguageModel(configuration, on: CPUBackend(threads: 1))
    let isMask = { (parameter: NamedTensor) in parameter.parameter.role == .maskLogits }
    let weights = model.namedParameters.filter { !isMask($0) }.reduce(0) { $0 + $1.tensor.count }
    let masks = model.namedParameters.filter(isMask).reduce(0) { $0 + $1.tensor.count }
    #expect(weights == configuration.weightCount && masks == configuration.maskBitCount)
  }

  @Test func gateSharesCountOnes() throws {
    let model = try LlamaExportTests.model(.mglu(.init(count: 2)))
    let unit = try #require(model.weights.layers[1].unit.masked)
    let size = unit.weight.count
    // A logit of exactly 0 is mask 0.
    unit.maskLogits.assign((0..<2 * size).map { $0 < 7 ? 1 : $0 < size ? 0 : -1 })
    #expect(model.gateShares[1] == [7 / Double(size), 0])
    #expect(model.gateShares[0].allSatisfy { (0.4...0.6).contains($0) })
    #expect(try LlamaExportTests.model(.glu).gateShares == [[], [], []])
  }
}
