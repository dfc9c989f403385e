/// How a kernel of attention runs: attention_decode.cu, attention_prompt.cu and those two for Hopper on tensor
/// cores, where they are made for heads of that size and the cache has 16 bits, else attention.cu.
package struct AttentionLaunch: Equatable {
  /// The source.
  package let source: String
  /// The kernel.
  package let kernel: String
  /// NVRTC's options for the variant.
  package let options: [String]
  /// Blocks.
  package let grid: LaunchSize
  /// Threads of a block.
  package let threads: Int
  /// Dynamic shared memory of a block.
  package var sharedBytes = 0
  /// Blocks that read each other's shared memory.
  package var cluster: LaunchSize?
  /// Blocks of a row's heads whose splits are added up through memory.
  package var mergedBlocks = 0
  /// attention_decode_hopper.cu: the warps that share a row's head.
  package var team = 0
  /// Its chunks of 64 positions at most: all warps of a block share one that has more.
  package var longest = 0

  /// Parts of a decoding row's positions, whose sums are merged in their order: chunk c of 64 positions
  /// belongs to part c % 8, whoever computes it.
  package static let splits = 8
  /// Positions of a block of the cache.
  package static let blockSize = 64

  /// Whether tensor cores compute attention of such heads.
  package static func usesTensorCores(headSize: Int, _ type: DataType) -> Bool {
    type != .float32 && [32, 64, 96, 128].contains(headSize)
  }

  /// `rows` rows that decode, over a cache of `type`, with queries, keys and values of `rowType`, whose
  /// results lie in an order.
  package static func decoding(
    rows: Int, of rowType: DataType, _ shape: AttentionShape, _ type: DataType,
    order: ColumnOrder = .plain, on device: CUDADevice
  ) -> AttentionLaunch {
    let (group, multiprocessors) = (shape.heads / shape.kvHeads, device.multiprocessorCount)
    if usesTensorCores(headSize: shape.headSize, type) {
      let queries = (1...8).last { group % $0 == 0 } ?? 1
      let blocks = shape.heads / queries
      let options =
        options(shape, type, rowType) + ["-DQUERIES=\(queries)"] + order.options
      // Splits of few rows have a block each as long as all of them run together: one of eight warps to a
      // multiprocessor, or three of four.
      guard rows * blocks * splits <= 3 * multiprocessors else {
        if device.capability == CUDACapability(9, 0) {
          return inTeams(
            rows * blocks, headSize: shape.headSize, queries: queries, options, multiprocessors)
        }
        return AttentionLaunch(
          source: "attention_decode", kernel: "attention_decode", options: options,
          grid: LaunchSize(blocks, 1, rows), threads: 256)
      }
      let warps = rows * blocks * splits <= multiprocessors ? 8 : 4
      return AttentionLaunch(
        source: "attention_decode", kernel: "attention_decode_splits",
        options: options + (warps == 8 ? [] : ["-DBLOCK_WARPS=\(warps)"]),
        grid: LaunchSize(blocks, splits, rows), threads: warps * 32
      ).merged(on: device)
    }
    return inFloat32(rows: rows, of: rowType, shape, type, splits: splits, multiprocessors)
      .merged(on: device)
  }

  /// `items` heads of rows in attention_decode_hopper.cu, whose memory this counts: alone on a
  /// multiprocessor, or each with a team of its warps.
  private static func inTeams(
    _ items: Int, headSize: Int, queries: Int, _ options: [String], _ multiprocessors: Int
  ) -> AttentionLaunch {
    let chunk = blockSize * headSize * 2
    let isAlone = items <= multiprocessors
    // Warps, with the room beside their rings; those need two stages, of keys and of values.
    func room(_ warps: Int) -> (held: Int, after: Int, stages: Int) {
      let held = isAlone ? 2 : warps
      let after = held * queries * (splits * (headSize + 2) * 4 + headSize * 2)
      return (held, after, (227 * 1024 - after - 1024) / (warps * chunk))
    }
    let most = headSize > 64 ? 4 : 8
    let warps = room(most).stages >= 2 ? most : most / 2
    let (held, after, stages) = room(warps)
    let team = isAlone ? warps : items <= 2 * multiprocessors ? max(2, warps / 2) : 2
    return AttentionLaunch(
      source: "attention_decode_hopper", kernel: "attention_decode_hopper",
      options: options + ["-DBLOCK_WARPS=\(warps)", "-DHELD=\(held)"],
      grid: LaunchSize(min(items, multiprocessors)), threads: warps * 32,
      sharedBytes: warps * stages * (chunk + 8) + after, team: team,
      longest: isAlone ? 0 : 32 * team)
  }

  /// The keys and values of `rows` rows of prompts go to the cache.
  package static func storing(
    rows: Int, of rowType: DataType, _ shape: AttentionShape, _ type: DataType
  ) -> AttentionLaunch {
    let isWide = shape.headSize % 16 == 0 && shape.rotarySize % 16 == 0
    let items = (shape.heads + 2 * shape.kvHeads) * shape.headSize / (isWide ? 16 : 2)
    return AttentionLaunch(
      source: "attention_store", kernel: "attention_store", options: options(shape, type, rowType),
      grid: LaunchSize(rows), threads: min(256, (items + 31) / 32 * 32))
  }

  /// `rows` rows of prompts in `tiles` tiles, whose results lie in an order.
  package static func prompts(
    rows: Int, of rowType: DataType, tiles: Int, _ shape: AttentionShape, _ type: DataType,
    order: ColumnOrder = .plain, on device: CUDADevice
  ) -> AttentionLaunch {
    guard usesTensorCores(headSize: shape.headSize, type) else {
      return inFloat32(
        rows: rows, of: rowType, shape, type, splits: 1, device.multiprocessorCount)
    }
    let size = shape.headSize
    let options = ["-DHEAD=\(size)"] + typeOptions(type, rowType) + order.options
    guard device.capability == CUDACapability(9, 0), size % 64 == 0 else {
      // Two stages of keys and values, whose rows are 16 bytes apart.
      return AttentionLaunch(
        source: "attention_prompt", kernel: "attention_prompt", options: options,
        grid: LaunchSize(shape.heads, tiles), threads: size <= 64 ? 128 : 256,
        sharedBytes: 4 * blockSize * (size * 2 + 16))
    }
    // As many heads to a block as there are registers for, where all multiprocessors have one.
    let isFull = shape.heads / 2 * tiles >= device.multiprocessorCount
    let heads = size == 64 && shape.heads / shape.kvHeads % 2 == 0 && isFull ? 2 : 1
    let stages = size == 64 ? 8 : 5
    return AttentionLaunch(
      source: "attention_prompt_hopper", kernel: "attention_prompt_hopper",
      options: options + ["-DHEADS=\(heads)"], grid: LaunchSize(shape.heads / heads, tiles),
      threads: heads * 256 + 128,
      sharedBytes: 1024 + (2 * heads + 2 * stages) * 128 * size + 16 * stages)
  }

  private static func inFloat32(
    rows: Int, of rowType: DataType, _ shape: AttentionShape, _ type: DataType, splits: Int,
    _ multiprocessors: Int
  ) -> AttentionLaunch {
    let group = shape.heads / shape.kvHeads
    // As many queries to a block as shared memory has room for what eight warps find for each, as
    // long as there are blocks enough for most of the multiprocessors.
    let counts = (1...max(1, min(group, 4, 1024 / shape.headSize))).filter { group % $0 == 0 }
    let queries =
      counts.last { shape.heads / $0 * splits * rows * 10 >= multiprocessors * 9 } ?? 1
    return AttentionLaunch(
      source: "attention", kernel: "attention",
      options: options(shape, type, rowType) + ["-DQUERIES=\(queries)"],
      grid: LaunchSize(shape.heads / queries, splits, rows), threads: 256)
  }

  /// With splits that are added up: in a cluster, or through memory.
  private func merged(on device: CUDADevice) -> AttentionLaunch {
    var launch = self
    if device.capability.major >= 9 {
      launch.cluster = LaunchSize(1, Self.splits, 1)
    } else {
      launch.mergedBlocks = grid.x * grid.z
    }
    return launch
  }

  private static func options(
    _ shape: AttentionShape, _ type: DataType, _ rowType: DataType
  ) -> [String] {
    let rotary = shape.rotarySize == shape.headSize ? [] : ["-DROTARY=\(shape.rotarySize)"]
    return ["-DHEAD=\(shape.headSize)"] + typeOptions(type, rowType) + rotary
  }

  private static func typeOptions(_ type: DataType, _ rowType: DataType) -> [String] {
    ["-DBITS=\(type.byteCount * 8)", "-DBF16=\(type == .bfloat16 ? 1 : 0)"]
      + (rowType == type ? [] : ["-DROW_BITS=\(rowType.byteCount * 8)"])
  }
}
