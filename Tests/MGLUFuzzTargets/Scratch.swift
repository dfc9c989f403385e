import MGLUModel
import MGLUServingTestSupport
import MGLUTestSupport

/// What targets need besides bytes.
enum Scratch {
  /// Where folders lie: in memory, if the system has such a place.
  static let parent = Folder.kind(of: "/dev/shm") == .folder ? "/dev/shm" : "/tmp"
  static let backend: CPUBackend? = try? CPUBackend(threads: 1)

  /// Calls `body` with a folder of `files`. Errors other than findings are what was expected.
  static func withFolder(
    _ files: [String: [UInt8]], _ body: (String) throws -> Void
  ) throws(FuzzFinding) {
    do {
      try withTemporaryFolder(in: parent) { folder in
        for (name, bytes) in files { try AtomicFile.write(bytes, to: "\(folder)/\(name)") }
        try body(folder)
      }
    } catch let error as FuzzFinding {
      throw error
    } catch {}
  }

  /// The files of a folder.
  static func files(in folder: String) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in try Folder.names(in: folder) where Folder.kind(of: "\(folder)/\(name)") == .file {
      files[name] = try MappedFile(path: "\(folder)/\(name)").contents
    }
    return files
  }

  /// `good` with other bytes: three bytes are a place and what it gets.
  static func edited(_ good: [UInt8], _ edits: ArraySlice<UInt8>) -> [UInt8] {
    guard !good.isEmpty else { return good }
    var (result, edits) = (good, Array(edits))
    while edits.count >= 3 {
      result[(Int(edits[0]) << 8 | Int(edits[1])) % good.count] = edits[2]
      edits.removeFirst(3)
    }
    return result
  }

  /// A model folder: config.json, tensors, a tokenizer of bytes.
  static let modelFiles: [String: [UInt8]] = {
    let files = try? withTemporaryFolder(in: parent) { folder in
      let model = try LanguageModel(
        configuration(.mglu(.init(count: 2))), seed: 1, on: CPUBackend(threads: 1))
      try ModelFolder.save(model, weights: .float16, to: folder)
      try Tokenizer.bytes.save(to: folder)
      return try Self.files(in: folder)
    }
    return files ?? [:]
  }()

  /// The shape of a model that takes no time.
  static func configuration(_ unit: FeedForwardUnitKind) -> ModelConfiguration {
    ModelConfiguration(
      vocabularySize: 257, layers: 1, attention: .init(heads: 2, kvHeads: 1, headSize: 4),
      feedForward: .init(hiddenSize: 8, intermediateSize: 12, unit: unit), contextLength: 32,
      eosTokenIDs: [256])
  }

  /// Reads the model at `path` for inference, and lets it write a few tokens.
  static func generate(
    _ path: String, weights: WeightType? = nil, precision: InputPrecision = .exact
  ) throws {
    guard let backend else { return }
    let model = try ModelFolder.loadForInference(
      path, weights: weights, precision: precision, on: backend)
    // Large ones cost time, not insight.
    guard model.configuration.vocabularySize <= 4096, model.configuration.contextLength <= 4096
    else {
      return
    }
    let prompt = [Int32](repeating: 0, count: 5).map { _ in
      min(97, Int32(model.configuration.vocabularySize - 1))
    }
    let generator = try TokenGenerator(
      model, tokenizer: .bytes, tokens: prompt, maximumTokens: 3,
      sampling: .init(temperature: 1, topK: 5, topP: 0.9, minP: 0.01))
    while try generator.next() != nil {}
  }
}
