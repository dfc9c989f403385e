/// How decode.cu runs a model's layers, where it can.
package struct DecodeLaunch: Equatable {
  /// NVRTC's options for the variant.
  package let options: [String]
  /// Bytes of the ring.
  package let ringBytes: Int
  /// Most stages that it holds.
  package let stages: Int
  /// Dynamic shared memory of a block.
  package let sharedBytes: Int
  /// Blocks.
  package let grid: Int

  /// Parts of the positions that are attended to side by side, those of every kernel of attention.
  static let splits = AttentionLaunch.splits
  /// Most layers that the kernel's argument has room for.
  static let mostLayers = 48

  /// Static shared memory of a block, which holds what attention finds: before dynamic memory that is
  /// aligned to a line, it is whole lines.
  package static func attendingBytes(queries: Int, headSize: Int, cacheType: DataType) -> Int {
    let row = (queries + 2) * headSize
    let found = FusedLinearVariant.warps * queries * (headSize + 2)
    return (row * cacheType.byteCount + found * 4 + 127) / 128 * 128
  }

  /// A launch for `layers` layers of weights in cells, whose unit has `masks` masks or two `planes`, over
  /// caches of `cacheType`, of which a sequence has `blocksPerSequence` blocks at most, or `nil` where
  /// decode.cu is not made for them.
  package init?(
    layers: Int, hidden: Int, intermediate: Int, attention shape: AttentionShape,
    blocksPerSequence: Int, cacheType: DataType, masks: Int, planes: Int, type: WeightType,
    pieces: Int, on device: CUDADevice
  ) {
    let (grid, group) = (device.multiprocessorCount, shape.heads / shape.kvHeads)
    // What was tested: others may run too.
    guard
      device.capability == CUDACapability(9, 0), type != .float32, layers <= Self.mostLayers,
      [32, 64].contains(shape.headSize), hidden <= 4096,
      [hidden, intermediate, shape.queryWidth].allSatisfy({ $0 % 64 == 0 })
    else { return nil }
    // As few query heads to a block as leave none without a block.
    guard
      let queries = (1...4).first(where: {
        group % $0 == 0 && shape.heads / $0 * Self.splits <= grid
      })
    else { return nil }

    let warps = FusedLinearVariant.warps
    let streams = planes == 2 ? 2 : masks + 1
    let input = pieces * (max(hidden, intermediate, shape.queryWidth) * 2 + 64)
    let sums = 2 * warps * streams * 16 * pieces * 4
    let residual = (hidden / 16 + grid - 1) / grid * 64
    let fixed =
      input + sums + warps * 4 + residual + (layers + 1) * 64
      + (blocksPerSequence + Self.splits - 1) / Self.splits * 4
    let attending = Self.attendingBytes(
      queries: queries, headSize: shape.headSize, cacheType: cacheType)
    // A stage is a cell of every warp or a plane of one, which is the least, and two barriers; the
    // input begins a line of its own.
    func cellBytes(_ masks: Int) -> Int {
      warps * FusedLinearVariant.cellBytes(masks: masks, planes: 1, type: type)
    }
    let plane = cellBytes(0)
    let available = device.sharedBytesPerBlock - attending - fixed - 128
    ringBytes = available * plane / (plane + 16) / 1024 * 1024
    stages = ringBytes / plane
    // A stage of a cache takes as much as a plane of 16 bits.
    guard ringBytes >= 3 * max(cellBytes(masks), warps * 2048) else { return nil }
    sharedBytes = ringBytes + (stages * 16 + 127) / 128 * 128 + fixed
    options =
      [
        "-DUNIT_MASKS=\(masks)", "-DUNIT_PLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
        "-DHEAD=\(shape.headSize)", "-DQUERIES=\(queries)", "-DBITS=\(cacheType.byteCount * 8)",
      ] + (type == .int8 ? ["-DINT8=1"] : [])
    self.grid = grid
  }
}
