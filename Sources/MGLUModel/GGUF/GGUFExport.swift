extension ModelFolder {
  /// Writes the model at `folder` as one GGUF file for llama.cpp, with its tokenizer and chat template,
  /// and returns the shape that the file has: an MGLU becomes the equal GLU n_m times as wide.
  ///
  /// Matrices are stored as `weights` (F32, F16, BF16, or Q8_0 for `WeightType.int8`), vectors as F32.
  /// Each is made when it is written. Refused are models that llama.cpp does not compute: an activation
  /// other than SiLU, what no Llama expresses, and tokenizers that it has no name for.
  public static func exportGGUF(
    _ folder: String, weights: WeightType, to path: String, on host: CPUBackend
  ) throws(CheckpointError) -> ModelConfiguration {
    let (original, tensors) = try open(folder)
    guard original.feedForward.activation == .silu else {
      throw CheckpointError(
        .notExportable,
        "hidden_act is \(original.feedForward.activation.rawValue): llama.cpp computes the "
          + "feed-forward block of a Llama with SiLU", remedy: "export a model of SiLU")
    }
    let llama = try LlamaWeights(original, from: tensors)
    let export = try GGUFExport(llama.configuration, weights: weights)
    let parts = try parts(of: folder)
    let metadata =
      try export.metadata(name: Folder.name(of: Folder.resolved(folder)))
      + GGUFTokenizerExport.metadata(of: parts, for: llama.configuration)
    do { try Folder.create(Folder.parent(of: path)) } catch {
      throw CheckpointError(writing: error)
    }
    try GGUFWriter.write(metadata, try export.items(of: llama, on: host), to: path)
    return llama.configuration
  }
}

/// How a model of llama.cpp's is described and stored.
struct GGUFExport {
  private let configuration: ModelConfiguration
  private let architecture: GGUFArchitecture
  private let weights: WeightType

  init(_ configuration: ModelConfiguration, weights: WeightType) throws(CheckpointError) {
    (self.configuration, self.weights) = (configuration, weights)
    architecture = try GGUFArchitecture(configuration)
  }

  private var type: GGUFTensorType {
    switch weights {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .int8: .q80
    }
  }

  func metadata(name: String) -> [(String, GGUFWriter.Value)] {
    let c = configuration
    // llama.cpp's LLAMA_FTYPE of a file whose matrices are mostly of the type.
    let fileType =
      switch weights {
      case .float32: 0
      case .float16: 1
      case .int8: 7
      case .bfloat16: 32
      }
    var keys: [(String, GGUFWriter.Value)] = [
      ("block_count", .uint32(c.layers)), ("context_length", .uint32(c.contextLength)),
      ("embedding_length", .uint32(c.hiddenSize)),
      ("feed_forward_length", .uint32(c.feedForward.intermediateSize)),
      ("attention.head_count", .uint32(c.attention.heads)),
      ("attention.head_count_kv", .uint32(c.attention.kvHeads)),
      ("attention.key_length", .uint32(c.attention.headSize)),
      ("attention.value_length", .uint32(c.attention.headSize)),
      ("attention.layer_norm_rms_epsilon", .float32(Double(c.normEpsilon))),
      ("rope.dimension_count", .uint32(c.attention.headSize)),
      ("rope.freq_base", .float32(c.ropeTheta)), ("vocab_size", .uint32(c.vocabularySize)),
    ]
    switch c.ropeScaling {
    case .linear(let factor):
      keys += [("rope.scaling.type", .string("linear")), ("rope.scaling.factor", .float32(factor))]
    case .yarn(let yarn):
      keys += [
        ("rope.scaling.type", .string("yarn")), ("rope.scaling.factor", .float32(yarn.factor)),
        ("rope.scaling.original_context_length", .uint32(yarn.original)),
      ]
    case .llama3, .longRope, nil: break
    }
    return [
      ("general.architecture", .string(architecture.name)), ("general.type", .string("model")),
      ("general.name", .string(name)), ("general.file_type", .uint32(fileType)),
      ("general.quantization_version", .uint32(2)),
    ] + keys.map { ("\(architecture.name).\($0.0)", $0.1) }
  }

  /// The tensors, made of `source` one by one as they are written.
  func items(
    of source: some WeightSource, on host: CPUBackend
  ) throws(CheckpointError) -> [GGUFWriter.Item] {
    var items: [GGUFWriter.Item] = []
    for parameter in configuration.parameterTable.parameters {
      guard let name = architecture.ggufName(of: parameter.name) else {
        throw CheckpointError(.notExportable, "llama.cpp has no tensor like \(parameter.name)")
      }
      let isMatrix = parameter.shape.count == 2
      let type = isMatrix ? type : .f32
      let columns = parameter.shape.last ?? 1
      guard columns % type.blockSize == 0 else {
        throw CheckpointError(
          .notExportable,
          "\(parameter.name) has rows of \(columns): \(type.name) needs a multiple of "
            + "\(type.blockSize)", remedy: "choose F16 or BF16")
      }
      let heads = heads(of: parameter)
      items.append(
        GGUFWriter.Item(name: name, type: type, shape: parameter.shape) {
          file throws(CheckpointError) in
          guard isMatrix else {
            let vector = try source.vector(parameter, on: host)
            return try file.append(heads == 1 ? vector : vector.interleavingHeads(heads))
          }
          let matrix = host.converted(try source.matrix(parameter, on: host), to: weights)
          let weights = heads == 1 ? matrix.weights : matrix.weights.interleavingHeads(heads)
          guard let scales = matrix.scales else { return try file.append(weights) }
          try file.append(
            weights, scales: heads == 1 ? scales : scales.interleavingHeads(heads))
        })
    }
    if case .llama3 = configuration.ropeScaling, let scaling = configuration.ropeScaling {
      let factors = GGUFRopeFactors.factors(
        of: scaling, theta: configuration.ropeTheta, headSize: configuration.attention.headSize)
      items.append(
        GGUFWriter.Item(name: "rope_freqs.weight", type: .f32, shape: [factors.count]) {
          file throws(CheckpointError) in
          let tensor = Tensor.allocated([factors.count], .float32)
          tensor.assign(factors)
          try file.append(tensor)
        })
    }
    return items
  }

  /// Heads whose rows llama.cpp wants interleaved, else 1.
  private func heads(of parameter: Parameter) -> Int {
    guard architecture.interleavesHeads else { return 1 }
    if parameter.name.contains(".q_proj.") { return configuration.attention.heads }
    return parameter.name.contains(".k_proj.") ? configuration.attention.kvHeads : 1
  }
}

extension AtomicFile {
  /// Appends the elements of `tensor`.
  fileprivate mutating func append(_ tensor: Tensor) throws(CheckpointError) {
    do { try write(contentsOf: UnsafeRawBufferPointer(tensor.bytes)) } catch {
      throw CheckpointError(writing: error)
    }
  }

  /// Appends integers in blocks of Q8_0: a scale, then 32 integers.
  fileprivate mutating func append(_ integers: Tensor, scales: Tensor) throws(CheckpointError) {
    let size = WeightType.groupSize
    let blocks = Tensor.allocated([scales.count, size + 2], .uint8)
    let (from, halves, to) = (integers.bytes, scales.bytes, blocks.bytes)
    for index in 0..<scales.count {
      let start = index * (size + 2)
      UnsafeMutableRawBufferPointer(rebasing: to[start..<start + 2])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: halves[2 * index..<2 * index + 2]))
      UnsafeMutableRawBufferPointer(rebasing: to[start + 2..<start + 2 + size])
        .copyMemory(
          from: UnsafeRawBufferPointer(rebasing: from[index * size..<(index + 1) * size]))
    }
    try append(blocks)
  }
}
