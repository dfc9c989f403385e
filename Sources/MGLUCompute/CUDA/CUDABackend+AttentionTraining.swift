import CMGLUKernels

// Attention in training, forward and backward, through attention_train.cu.

extension CUDABackend {
  /// Elements of a head, at most; even.
  private static let mostHeadSize = 128

  public func attention(
    _ qkv: Tensor, shape: AttentionShape, length: Int, into output: Tensor, logSumExp: Tensor
  ) {
    var arguments = arguments(qkv, shape, length: length)
    arguments.output = output.deviceAddress
    arguments.log_sum_exp = logSumExp.deviceAddress
    let size = AttentionTrainSize(shape)
    launchAttention(
      "attention_train_forward", shape, sequences: qkv.rows / max(1, length),
      blocks: size.rowBlocks(length: length), sharedBytes: size.tileBytes, arguments)
  }

  public func attentionBackward(
    _ upstream: Tensor, qkv: Tensor, output: Tensor, logSumExp: Tensor, shape: AttentionShape,
    length: Int, qkvGradient: Tensor
  ) {
    let sequences = qkv.rows / max(1, length)
    let size = AttentionTrainSize(shape)
    var arguments = arguments(qkv, shape, length: length)
    arguments.output = output.deviceAddress
    arguments.log_sum_exp = logSumExp.deviceAddress
    arguments.upstream = upstream.deviceAddress
    arguments.gradient = qkvGradient.deviceAddress
    arguments.scratch = scratch(
      .attentionDelta, ofBytes: sequences * shape.kvHeads * size.deltaBytes(length: length))
    launchAttention(
      "attention_train_queries", shape, sequences: sequences,
      blocks: size.rowBlocks(length: length), sharedBytes: size.tileBytes, arguments)
    launchAttention(
      "attention_train_keys", shape, sequences: sequences,
      blocks: size.keyBlocks(length: length),
      sharedBytes: size.tileBytes + 2 * AttentionTrainSize.deltaBytesOfTile, arguments)
  }

  private func arguments(
    _ qkv: Tensor, _ shape: AttentionShape, length: Int
  ) -> cmglu_cuda_attention_train {
    var arguments = cmglu_cuda_attention_train()
    arguments.qkv = qkv.deviceAddress
    arguments.length = Int32(length)
    arguments.kv_heads = Int32(shape.kvHeads)
    arguments.window = Int32(shape.window.map { min($0, length) } ?? length)
    arguments.scale = shape.scale
    return arguments
  }

  private func launchAttention(
    _ kernel: String, _ shape: AttentionShape, sequences: Int, blocks: Int, sharedBytes: Int,
    _ arguments: cmglu_cuda_attention_train
  ) {
    guard shape.headSize <= Self.mostHeadSize else {
      return fail(
        .unsupportedDevice,
        "heads of \(shape.headSize) elements: training on a GPU takes \(Self.mostHeadSize) at most")
    }
    guard sequences > 0 else { return }
    guard sequences <= 65535, blocks <= 65535 else {
      return fail(
        .unsupportedDevice,
        "\(sequences) sequences in \(blocks) blocks: a GPU takes 65535 of each at most")
    }
    launch(
      "attention_train", kernel,
      options: ["-DHEAD=\(shape.headSize)", "-DGROUP=\(shape.heads / shape.kvHeads)"]
        + (arguments.window < arguments.length ? ["-DWINDOW=1"] : []),
      grid: LaunchSize(shape.kvHeads, sequences, blocks), block: 128, sharedBytes: sharedBytes,
      programmatic: false, arguments: arguments)
  }
}

/// The sizes that attention_train.cu says its launches have.
struct AttentionTrainSize {
  private static let tile = 64
  /// -delta twice and -logSumExp of the rows of a tile.
  static let deltaBytesOfTile = 64 * 12

  private let padded: Int
  private let group: Int

  init(_ shape: AttentionShape) {
    padded = (shape.headSize + 15) / 16 * 16
    group = shape.heads / shape.kvHeads
  }

  /// Blocks of rows, which are the queries of a key-value head.
  func rowBlocks(length: Int) -> Int {
    let rows = Self.tile * (padded <= 64 ? 2 : 1)
    return (length * group + rows - 1) / rows
  }

  /// Blocks of keys.
  func keyBlocks(length: Int) -> Int {
    let keys = Self.tile * (padded <= 48 ? 2 : 1)
    return (length + keys - 1) / keys
  }

  /// Two stages of two tiles.
  var tileBytes: Int { 4 * Self.tile * (2 * padded + 16) }

  /// What one sequence and key-value head hand from the queries' kernel to the keys'.
  func deltaBytes(length: Int) -> Int {
    (length * group + Self.tile - 1) / Self.tile * Self.deltaBytesOfTile
  }
}
