import Foundation
import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// Tiny models of every family as transformers computes them (Tests/Reference/families.py).
@Suite struct FamilyTests {
  static let names = [
    "llama_biases", "mistral", "qwen2", "qwen2_windows_yarn", "qwen3", "smollm3", "phi3",
    "phi3_longrope",
  ]
  /// Sums in float32 against float64, over two blocks; transformers keeps the rotary frequencies in
  /// float32. Measured: at most 2e-6.
  static let bound = 1e-5

  /// A model of the vectors, in files as transformers has them.
  private struct Frozen {
    let tokens: [Int32]
    let logits: ReferenceMatrix
    /// By the names of the file.
    let gradients: [String: ReferenceMatrix]
    let modelType: String

    init(_ name: String, to folder: String) throws {
      let file = try MappedFile(path: RepositoryFolder.vectors + "/families.json")
      let all = try JSONSerialization.jsonObject(with: Data(file.contents)) as? [String: Any]
      let model = try #require(all?[name] as? [String: Any])
      let configuration = try #require(model["config"] as? [String: Any])
      modelType = try #require(configuration["model_type"] as? String)
      try Folder.create(folder)
      try AtomicFile.write(
        Array(JSONSerialization.data(withJSONObject: configuration)), to: folder + "/config.json")
      let backend = try CPUBackend(threads: 1)
      var items: [SafeTensorsWriter.Item] = []
      var gradients: [String: ReferenceMatrix] = [:]
      for (name, value) in try #require(model["tensors"] as? [String: [String: Any]]) {
        let shape = try #require(value["shape"] as? [Int])
        let values = try #require(value["values"] as? [Double])
        let tensor = backend.allocate { $0.tensor(shape) }
        tensor.assign(values.map(Float.init))
        items.append(SafeTensorsWriter.Item(name: name, tensor: tensor))
        gradients[name] = ReferenceMatrix(
          rows: tensor.rows, columns: tensor.columns,
          elements: try #require(value["gradient"] as? [Double]))
      }
      try SafeTensorsWriter.write(items, to: folder + "/model.safetensors")
      self.gradients = gradients
      tokens = try #require(model["tokens"] as? [Int]).map(Int32.init)
      logits = ReferenceMatrix(
        rows: tokens.count, columns: 11, elements: try #require(model["logits"] as? [Double]))
    }
  }

  @Test(arguments: names, CPUBackend.instructionSets)
  func logitsAndGradientsAreThoseOfTransformers(name: String, set: String) throws {
    try withTemporaryFolder { folder in
      let frozen = try Frozen(name, to: folder + "/in")
      let backend = try CPUBackend(threads: 2, instructionSet: set)
      let model = try ModelFolder.load(folder + "/in", on: backend)
      let count = frozen.tokens.count
      let logits = ReferenceMatrix(
        rows: count, columns: 11, elements: model.logits(frozen.tokens).map(Double.init))
      #expect(relativeError(logits, frozen.logits) < Self.bound)

      let activations = model.makeActivations(sequences: 1, length: count, purpose: .training)
      activations.tokens.assign(integers: frozen.tokens)
      activations.targets.assign(integers: frozen.tokens.dropFirst() + [-1])
      let gradients = Gradients(
        arena: backend.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena)
      model.lossAndGradients(activations, into: gradients, scale: 1)
      // What a file merges lies together here.
      var found: [String: [ReferenceMatrix]] = [:]
      for parameter in model.namedParameters {
        let whole = Self.merged(parameter.name)
        found[frozen.gradients[whole] == nil ? parameter.name : whole, default: []].append(
          ReferenceMatrix(gradients[parameter.tensor]))
      }
      #expect(found.keys.sorted() == frozen.gradients.keys.sorted())
      for (name, parts) in found {
        let expected = try #require(frozen.gradients[name])
        #expect(relativeError(.stacked(parts), expected) < Self.bound, "\(name)")
      }
    }
  }

  /// The name of the matrix that Phi-3 has in place of this one.
  private static func merged(_ name: String) -> String {
    let parts = name.split(separator: ".").map { part in
      switch part {
      case "q_proj", "k_proj", "v_proj": "qkv_proj"
      case "gate_proj", "up_proj": "gate_up_proj"
      default: String(part)
      }
    }
    return parts.joined(separator: ".")
  }

  /// The float64 reference reads the same files; it is what other tests hold kernels against.
  @Test(arguments: names) func theReferenceAgrees(name: String) throws {
    try withTemporaryFolder { folder in
      let frozen = try Frozen(name, to: folder + "/in")
      let model = try ModelFolder.load(folder + "/in", on: CPUBackend(threads: 1))
      let found = ReferenceModel(model).logits(frozen.tokens, length: frozen.tokens.count)
      // The frequencies of transformers are rounded to float32.
      #expect(relativeError(found, frozen.logits) < 1e-6)
    }
  }

  /// Through the key-value cache, in pieces and one by one, over mapped files.
  @Test(arguments: names, [[14], [1, 1, 1, 9, 2], Array(repeating: 1, count: 14)])
  func generationReadsAsAWholeTextIsRead(name: String, pieces: [Int]) throws {
    try withTemporaryFolder { folder in
      let frozen = try Frozen(name, to: folder + "/in")
      let model = try ModelFolder.loadForInference(
        folder + "/in", on: CPUBackend(threads: 2))
      let session = InferenceSession(model)
      let sequence = try session.open()
      var position = 0
      for count in pieces {
        let logits = try session.append(frozen.tokens[position..<position + count], to: sequence)
        position += count
        #expect(
          relativeError(ReferenceMatrix(logits), frozen.logits.rows(position - 1..<position))
            < Self.bound, "position \(position - 1)")
      }
    }
  }

  /// Written again as what it was: type, names, elements; and after a change of unit and back.
  @Test(arguments: names) func modelsAreWrittenAsWhatTheyWere(name: String) throws {
    try withTemporaryFolder { folder in
      let frozen = try Frozen(name, to: folder + "/in")
      let model = try ModelFolder.load(folder + "/in", on: CPUBackend(threads: 1))
      try ModelFolder.save(model, to: folder + "/out")
      try expectSame(folder + "/in", folder + "/out", type: frozen.modelType)
      let again = try ModelFolder.load(folder + "/out", on: CPUBackend(threads: 1))
      #expect(again.configuration == model.configuration)

      try ModelFolder.save(model.maskedFromGated(masks: 2).model, to: folder + "/masked")
      let masked = try ModelFolder.load(folder + "/masked", on: CPUBackend(threads: 1))
      try ModelFolder.save(masked.llamaExport(), to: folder + "/stock")
      let stock = try ModelFolder.load(folder + "/stock", on: CPUBackend(threads: 1))
      #expect(stock.configuration.family.rawValue == frozen.modelType)
      let (a, b) = (masked.logits(frozen.tokens), stock.logits(frozen.tokens))
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
    }
  }

  private func expectSame(_ folder: String, _ other: String, type: String) throws {
    let file = try MappedFile(path: other + "/config.json")
    let written = try JSONSerialization.jsonObject(with: Data(file.contents)) as? [String: Any]
    #expect(written?["model_type"] as? String == type)
    let (a, b) = (
      try SafeTensors(path: folder + "/model.safetensors"),
      try SafeTensors(path: other + "/model.safetensors")
    )
    #expect(a.entries.map(\.name).sorted() == b.entries.map(\.name).sorted())
    for entry in a.entries {
      let found = try #require(b[entry.name])
      #expect(found.shape == entry.shape)
      let equal = a.withBytes(of: entry) { left in
        b.withBytes(of: found) { right in
          (0..<left.byteCount).allSatisfy {
            left.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
              == right.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
          }
        }
      }
      #expect(equal, "\(entry.name)")
    }
  }

  /// An INT8 folder of a model with merged matrices has merged scales.
  @Test func mergedMatricesOfIntegersAreReadBack() throws {
    try withTemporaryFolder { folder in
      let frozen = try Frozen("phi3", to: folder + "/in")
      let backend = try CPUBackend(threads: 1)
      _ = try ModelFolder.convertForInference(
        folder + "/in", weights: .int8, to: folder + "/int8", on: backend)
      let file = try SafeTensors(path: folder + "/int8/model.safetensors")
      #expect(file["model.layers.0.self_attn.qkv_proj.weight"]?.shape == [16, 8])
      #expect(file["model.layers.0.self_attn.qkv_proj.weight_scale"]?.shape == [16, 1])
      func logits(_ name: String, _ type: WeightType) throws -> [Float] {
        let model = try ModelFolder.loadForInference(folder + name, weights: type, on: backend)
        let session = InferenceSession(model)
        return try session.append(frozen.tokens, to: session.open()).array
      }
      #expect(try logits("/int8", .int8) == logits("/in", .int8))
    }
  }
}
