import MGLUModel
import MGLUTestSupport

/// Checkpoints and model folders.
enum ModelTargets {
  /// A file as it is or, where it begins with an odd byte, its header and the size of its data.
  static func safetensors(_ bytes: [UInt8]) throws(FuzzFinding) {
    var file = bytes
    if bytes.count > 3, bytes[0] % 2 == 1 {
      let header = bytes[3...]
      let size = Int(bytes[1]) | Int(bytes[2]) << 8
      file = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
      file += (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    }
    try Scratch.withFolder(["model.safetensors": file]) { folder in
      try read(folder, byteCount: file.count)
    }
  }

  private static func read(_ folder: String, byteCount: Int) throws {
    let tensors = try SafeTensors(path: folder + "/model.safetensors")
    var sum: UInt8 = 0
    for entry in tensors.entries {
      // Every byte that a tensor claims can be read.
      sum ^= tensors.withBytes(of: entry) { span in
        span.withUnsafeBytes { $0.reduce(UInt8(0), ^) }
      }
      guard entry.byteRange.upperBound <= byteCount else {
        throw FuzzFinding("\(entry) of a file of \(byteCount) bytes; \(sum)")
      }
    }
    guard let backend = Scratch.backend else { return }
    let checkpoint = try CheckpointTensors(folder: folder)
    for entry in tensors.entries where (1..<1 << 16).contains(entry.byteRange.count) {
      let tensor = backend.allocate { $0.tensor(entry.shape) }
      try? checkpoint.load(entry.name, into: tensor)
    }
  }

  private static let documents = [
    "config.json", "generation_config.json", "tokenizer_config.json",
    "model.safetensors.index.json",
    "chat_template.jinja", "model.safetensors", "tokenizer.json",
  ]

  /// The first byte chooses the document, and whether the others are all of it or edit a good one.
  static func folder(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let first = bytes.first else { return }
    let name = documents[Int(first & 127) % documents.count]
    var files = Scratch.modelFiles
    if name == "model.safetensors.index.json" {
      files["part.safetensors"] = files.removeValue(forKey: "model.safetensors")
    }
    files[name] =
      first < 128
      ? Array(bytes.dropFirst())
      : Scratch.edited(Scratch.modelFiles[name] ?? [], bytes.dropFirst())
    try Scratch.withFolder(files) { folder in
      if let configuration = try? ModelFolder.configuration(in: folder) {
        _ = configuration.parameterTable.parameters.count
      }
      _ = try? Tokenizer(contentsOf: folder)
      let template = try ChatTemplate(contentsOf: folder)
      _ = try? template.render([ChatMessage(role: "user", content: "Hi")])
      try Scratch.generate(folder)
    }
  }

  /// Sizes, unit, weights and a context from bytes.
  static func model(_ bytes: [UInt8]) throws(FuzzFinding) {
    var choices = ByteChoices(bytes)
    let count = 1 + choices.number(below: 16)
    let ablation = choices.pick(MaskAblation.allCases)
    let units: [FeedForwardUnitKind] = [
      .lu, .glu, .sharedGLU, .mglu(.init(count: count)), .mglu(.init(count: count, kind: .fixed)),
      .mglu(.init(count: count, ablation: ablation)),
      .mglu(.init(count: count, routerTopK: 1 + choices.number(below: count))),
    ]
    let unit = choices.pick(units)
    let kvHeads = 1 + choices.number(below: 3)
    let headSize = 2 * (1 + choices.number(below: 40))
    let shape = AttentionShape(
      heads: kvHeads * (1 + choices.number(below: 4)), kvHeads: kvHeads, headSize: headSize,
      window: choices.isOne(of: 4) ? 1 + choices.number(below: 20) : nil,
      rotarySize: choices.isOne(of: 4) ? 2 * (1 + choices.number(below: headSize / 2)) : nil)
    let hasBias = choices.isOne(of: 3)
    let configuration = ModelConfiguration(
      vocabularySize: 257 + choices.number(below: 40), layers: 1 + choices.number(below: 2),
      attention: shape,
      feedForward: .init(
        hiddenSize: 1 + choices.number(), intermediateSize: 1 + choices.number(), unit: unit,
        activation: choices.pick(Activation.allCases)),
      contextLength: 1 + choices.number(below: 40), hasQKNorm: choices.isOne(of: 3),
      hasQKVBias: hasBias, hasOutputBias: hasBias && choices.isOne(of: 2),
      tiesEmbeddings: choices.isOne(of: 2))
    let (stored, weights) = (choices.pick(WeightType.allCases), choices.pick(WeightType.allCases))
    let precision = choices.pick(InputPrecision.allCases)
    guard let backend = Scratch.backend, (try? configuration.validate()) != nil else { return }
    try Scratch.withFolder([:]) { folder in
      let model = try LanguageModel(configuration, seed: 3, on: backend)
      let written = stored == .int8 ? .float32 : stored
      try ModelFolder.save(model, weights: written, to: folder + "/trained")
      try Scratch.generate(folder + "/trained", weights: weights, precision: precision)
      do {
        _ = try ModelFolder.convertForInference(
          folder + "/trained", weights: stored, to: folder + "/converted", on: backend)
        let read = try ModelFolder.configuration(in: folder + "/converted")
        guard read.feedForward == configuration.feedForward else {
          throw FuzzFinding("\(read.feedForward) was written as \(configuration.feedForward)")
        }
      } catch let error as CheckpointError { throw FuzzFinding("\(error)") }
      try Scratch.generate(folder + "/converted", weights: weights, precision: precision)
      _ = try? ModelFolder.exportGGUF(
        folder + "/trained", weights: weights, to: folder + "/model.gguf", on: backend)
      try Scratch.generate(folder + "/model.gguf", precision: precision)
    }
  }
}
