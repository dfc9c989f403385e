#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A model on disk in Hugging Face's layout: `config.json`, `generation_config.json` and
/// `model.safetensors`, or shards of it. A GGUF file is read as the folder that it was made from:
/// its path may stand wherever a model is read from a folder.
public enum ModelFolder {
  /// Where the model of `folder` lies: there, or, in the folder of a run that has not finished, in
  /// its newest checkpoint. A GGUF file lies where it is.
  public static func locate(_ folder: String) throws(CheckpointError) -> String {
    switch Folder.kind(of: folder) {
    case .folder: break
    case .file: return folder
    case let kind:
      let name = folder.isEmpty ? "an empty name" : folder
      throw CheckpointError(
        .unreadable,
        "\(name): \(kind == nil ? "no such file or folder" : "neither file nor folder")",
        remedy: "give the folder of a model, or a GGUF file")
    }
    if Folder.kind(of: folder + "/config.json") != nil { return folder }
    if let newest = checkpoints(in: folder).last { return newest }
    throw CheckpointError(
      .unreadable, "\(folder): no config.json and no checkpoint in it",
      remedy: "give the folder of a model")
  }

  /// The checkpoints of the run in `folder`, oldest first.
  public static func checkpoints(in folder: String) -> [String] {
    let prefix = checkpointPrefix
    let steps = ((try? Folder.names(in: folder)) ?? []).compactMap { name -> (Int, String)? in
      guard name.hasPrefix(prefix), let step = Int(name.dropFirst(prefix.count)), step >= 0 else {
        return nil
      }
      return (step, folder + "/" + name)
    }
    return steps.sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// How the name of a checkpoint's folder begins; its step follows.
  public static let checkpointPrefix = "checkpoint-"

  /// The configuration that `config.json` in `folder` describes; the ends of text of a
  /// `generation_config.json` override its own. The tokenizer's is one more: chat models are tuned to end
  /// with it, and their files do not always say so elsewhere.
  public static func configuration(
    in folder: String
  ) throws(CheckpointError) -> ModelConfiguration {
    try configuration(of: try parts(of: folder))
  }

  static func configuration(of parts: any ModelParts) throws(CheckpointError) -> ModelConfiguration
  {
    let name = "config.json"
    let place = parts.place(of: name)
    guard let document = try decode(HuggingFaceConfiguration.self, name, of: parts) else {
      throw CheckpointError(
        .unreadable, "\(place): \(Folder.kind(of: place) == nil ? "no such file" : "not a file")")
    }
    var configuration: ModelConfiguration
    do { configuration = try document.modelConfiguration() } catch {
      // The document does not know where it lies.
      let message = error.message.hasPrefix(name) ? error.message.dropFirst(name.count) : ""
      throw CheckpointError(
        error.code, message.isEmpty ? error.message : "\(place)\(message)", remedy: error.remedy)
    }
    if let ids = try decode(HuggingFaceConfiguration.self, "generation_config.json", of: parts)?
      .eosTokenIDs
    {
      configuration.eosTokenIDs = ids.ids
    }
    if let id = eosTokenID(ofTokenizerOf: parts), !configuration.eosTokenIDs.contains(id),
      (0..<configuration.vocabularySize).contains(Int(id))
    {
      configuration.eosTokenIDs.append(id)
    }
    return configuration
  }

  /// The configuration that a `config.json` describes, whatever its name.
  public static func configuration(
    ofFile path: String
  ) throws(CheckpointError) -> ModelConfiguration {
    try decode(HuggingFaceConfiguration.self, path: path).modelConfiguration()
  }

  /// Loads the model in `folder` as float32.
  ///
  /// Masks come from `mlp.mask_logits` where they are learned and the checkpoint still has them,
  /// else from the packed `mlp.masks`.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - communicator: What connects the ranks that share the parameters, of which rank 0 alone loads them;
  ///     `nil` for a whole model.
  ///   - backend: What computes.
  public static func load(
    _ folder: String, sharing communicator: (any Communicator)? = nil,
    on backend: any TrainingBackend
  ) throws(CheckpointError) -> LanguageModel {
    let (configuration, tensors) = try open(folder)
    let model: LanguageModel
    do {
      model = try LanguageModel(configuration, sharing: communicator, on: backend)
    } catch {
      throw CheckpointError(.disagreement, "\(folder): \(error)")
    }
    try load(tensors, into: model)
    return model
  }

  /// Opens the model in `folder` for inference: matrices of the wanted type stay in the mapped
  /// file, which must not be changed meanwhile. By default matrices keep their type. With a `communicator`
  /// this rank opens its share of the model.
  public static func loadForInference(
    _ folder: String, weights: WeightType? = nil, precision: InputPrecision = .exact,
    on backend: any InferenceBackend, communicator: (any Communicator)? = nil
  ) throws(CheckpointError) -> InferenceModel {
    let (configuration, tensors) = try open(folder)
    return try InferenceModel(
      configuration, from: tensors, weights: weights, precision: precision, on: backend,
      communicator: communicator)
  }

  /// Overwrites every parameter of `model` with those in `folder`, whose configuration must be
  /// the model's.
  public static func loadParameters(
    of model: LanguageModel, from folder: String
  ) throws(CheckpointError) {
    let (configuration, tensors) = try open(folder)
    // The family is how a file spells it, not what it is.
    var own = model.configuration
    own.family = configuration.family
    // What ends a text is no parameter's matter, and a model takes the tokenizer's when it is read.
    own.eosTokenIDs = configuration.eosTokenIDs
    guard configuration == own else {
      let differences = configuration.differences(from: own)
      throw CheckpointError(
        .disagreement,
        "\(folder) holds a model of another configuration: \(differences.joined(separator: "; "))",
        remedy: "give the settings that it was made with")
    }
    try load(tensors, into: model)
  }

  private static func load(
    _ tensors: CheckpointTensors, into model: LanguageModel
  ) throws(CheckpointError) {
    guard model.hasHostParameters else { return }
    let host = model.backend.host
    for named in model.namedParameters {
      let (parameter, target) = (named.parameter, named.tensor)
      if parameter.packedMasksName != nil, !tensors.contains(parameter.name) {
        MaskBits.unpack(try tensors.packedMasks(of: parameter), into: target)
      } else if parameter.shape.count == 2 {
        host.dequantize(try tensors.matrix(parameter, on: host), into: target)
      } else {
        try tensors.load(parameter.name, into: target)
      }
    }
    do { try MappedFile.requireWhole() } catch { throw CheckpointError(reading: error) }
    model.upload()
  }

  /// Saves `model` in `folder`, each file whole or not at all, and returns the CRC-32C of each
  /// by name. Learned masks are saved as logits, fixed ones as packed bits.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - weights: How matrices are stored; norms, routers and logits stay float32.
  ///   - stockLlama: Whether a GLU is written as a stock Llama whatever its activation.
  ///   - folder: Where to.
  @discardableResult
  public static func save(
    _ model: LanguageModel, weights: WeightType = .float32, stockLlama: Bool = false,
    to folder: String
  ) throws(CheckpointError) -> [String: UInt32] {
    guard weights != .int8 else {
      throw CheckpointError(
        .notExportable, "a model that can be trained has no INT8 weights",
        remedy: "write a folder for inference (convertForInference)")
    }
    let host = model.backend.host
    let items = model.namedParameters.flatMap { named in
      let (parameter, tensor) = (named.parameter, named.tensor)
      return if !parameter.isTrained, let name = parameter.packedMasksName {
        [SafeTensorsWriter.Item(name: name, tensor: MaskBits.pack(tensor, on: host))]
      } else if parameter.isPacked {
        SafeTensorsWriter.Item.matrix(
          parameter, StoredMatrix(weights: tensor), as: weights, on: host)
      } else {
        [SafeTensorsWriter.Item(name: parameter.name, tensor: tensor)]
      }
    }
    let isFixed = model.configuration.feedForward.unit.masks?.kind == .fixed
    return try write(
      items, of: model.configuration,
      HuggingFaceConfiguration(
        model.configuration, weights: weights, packedMasks: isFixed, stockLlama: stockLlama),
      to: folder)
  }

  /// Writes a model's files and returns the CRC-32C of each by name.
  @discardableResult
  static func write(
    _ items: [SafeTensorsWriter.Item], of model: ModelConfiguration,
    _ configuration: HuggingFaceConfiguration, to folder: String
  ) throws(CheckpointError) -> [String: UInt32] {
    let isMerged = configuration.modelType == ModelFamily.phi3.rawValue
    let items = isMerged ? MergedMatrix.merging(items, model.mergedMatrices) : items
    do {
      try Folder.create(folder)
      var checksums = configuration.autoMap == nil ? [:] : try TransformersFiles.write(to: folder)
      checksums["model.safetensors"] = try SafeTensorsWriter.write(
        items, to: folder + "/model.safetensors")
      // Last: a folder with it has a model.
      checksums["config.json"] = try AtomicFile.write(
        json(configuration), to: folder + "/config.json")
      return checksums
    } catch {
      throw CheckpointError(writing: error)
    }
  }

  /// The document `name` of a model, if it has one.
  package static func decode<T: Decodable>(
    _ type: T.Type, _ name: String, of parts: any ModelParts
  ) throws(CheckpointError) -> T? {
    guard let document = try parts.document(name) else { return nil }
    return try decode(type, from: document, path: parts.place(of: name))
  }

  package static func decode<T: Decodable>(
    _ type: T.Type, path: String
  ) throws(CheckpointError) -> T {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(reading: error) }
    return try decode(type, from: file.contents, path: path)
  }

  private static func decode<T: Decodable>(
    _ type: T.Type, from bytes: [UInt8], path: String
  ) throws(CheckpointError) -> T {
    let document = Data(bytes)
    do {
      return try JSONDecoder().decode(type, from: document)
    } catch let error as DecodingError {
      if let pointer = GitPointer(document) { throw pointer.error(path) }
      throw CheckpointError(.malformed, "\(path): \(error.summary(of: document))")
    } catch {
      throw CheckpointError(.malformed, "\(path): not valid JSON")
    }
  }

  package static func json(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Encoding plain values of our own cannot fail.
    return ((try? encoder.encode(value)).map(Array.init) ?? []) + [UInt8(ascii: "\n")]
  }
}
