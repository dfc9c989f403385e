/// A variant of fused_linear_prompt.cu.
///
/// A block computes 128 rows of W by ``columns`` rows of x, which are as many as registers have sums
/// for; smaller tiles serve few rows, whose large tiles would leave multiprocessors idle. A result has
/// the same bits in tiles of any size.
package struct FusedLinearPromptVariant: Equatable {
  let masks: Int
  let planes: Int
  let type: WeightType
  let gating: Gating
  let activation: Activation
  let isRouted: Bool
  /// How the columns of output lie.
  let outputOrder: ColumnOrder
  /// Rows of x in a tile.
  package let columns: Int

  /// A variant for a unit or projection whose tiles have `columns` rows of x, whose output has an order.
  package init(
    gating: Gating, activation: Activation, type: WeightType, isRouted: Bool = false,
    outputOrder: ColumnOrder = .plain, columns: Int
  ) {
    (masks, planes) = (gating.masks, gating.planes)
    (self.gating, self.activation, self.type) = (gating, activation, type)
    (self.isRouted, self.outputOrder, self.columns) = (isRouted, outputOrder, columns)
  }

  /// The tiles that there are variants for, largest first: what a warm-up compiles.
  package static func columns(of gating: Gating) -> [Int] {
    switch sums(of: gating) {
    case 1: [256, 192, 128, 64]
    case 2: [128, 96, 64]
    case 3: [96, 64, 32]
    case 4: [80, 64, 32]
    case 5: [64, 32]
    default: [48, 32]
    }
  }

  /// Passes over the columns of W: from seven masks on, up to four masks at a time.
  private static func passes(of gating: Gating) -> Int {
    gating.masks < 7 ? 1 : (gating.masks + 3) / 4
  }
  /// Sums of a thread for each result.
  package static func sums(of gating: Gating) -> Int {
    let passes = passes(of: gating)
    return gating.planes + (gating.masks + passes - 1) / passes
  }

  /// Whether a GPU has the instructions; others compute rows of prompts as they compute any.
  package static func isAvailable(on device: CUDADevice) -> Bool {
    device.capability == CUDACapability(9, 0) && !device.standsForOlder
  }

  /// Rows of W in a tile.
  static let tileRows = 128
  /// Threads of a block: two warpgroups that multiply, and one that copies.
  package static let threads = 384

  private var streams: Int { planes + masks }
  /// Bytes of 64 columns of a tile's rows of x, and of its rows of W.
  private var stageBytes: (x: Int, weights: Int) {
    (
      columns * 128,
      Self.tileRows / 16 * FusedLinearVariant.cellBytes(masks: masks, planes: planes, type: type)
    )
  }
  /// Cycles of a block for 64 columns of W, as measured on an H100 with tiles of 64 to 256 rows of x: of 4096
  /// operations each, and a part that is the same for tiles of any size.
  var cyclesOfStage: Int { 300 + 40 * masks + 17 * columns * streams / 5 }
  /// Shared memory in which sums change places on their way out.
  private var outputBytes: Int { 2 * (columns % 32 == 0 ? 32 : 16) * 68 * 4 }
  /// Shared memory in which t and the terms of masks wait for further passes.
  private var termBytes: Int { Self.passes(of: gating) > 1 ? 2 * Self.tileRows * columns * 4 : 0 }
  /// Stages of the ring, as the kernel counts them.
  package var stages: Int {
    (227 * 1024 - outputBytes - termBytes - 256) / (stageBytes.x + stageBytes.weights)
  }
  /// Shared memory of a block.
  package var sharedBytes: Int {
    stages * (stageBytes.x + stageBytes.weights + 16) + outputBytes + termBytes
  }

  /// Tiles of `rows` rows of W and `count` rows of x.
  package func tiles(rows: Int, count: Int) -> Int {
    (rows + Self.tileRows - 1) / Self.tileRows * ((count + columns - 1) / columns)
  }

  /// NVRTC's options for the variant.
  package var options: [String] {
    [
      "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
      "-DINT8=\(type == .int8 ? 1 : 0)", "-DGATING=\(gating.kernelValue.rawValue)",
      "-DACTIVATION=\(activation.kernelValue.rawValue)", "-DROUTED=\(isRouted ? 1 : 0)",
      "-DCOLUMNS=\(columns)",
    ] + outputOrder.options
  }
}

/// A launch of fused_linear_prompt.cu over some rows of x: the variant, and the work of blocks, that is
/// estimated to be done first.
package struct FusedLinearPromptLaunch: Equatable {
  /// The variant.
  package let variant: FusedLinearPromptVariant
  /// Cells of W between additions to the output, or 0 for one addition: what a row's result depends on,
  /// so it does not depend on the rows of x.
  package let segment: Int
  /// Whether blocks take segments by themselves.
  package let isSplit: Bool
  /// Blocks.
  package let grid: Int
  /// Bytes of what says whose turn it is to add, where blocks take segments.
  package let turnBytes: Int

  /// The launch of a unit or projection `[rows, width]` over `count` rows of x in `pieces`, which adds to
  /// float32 where it is `accumulating`.
  package init(
    gating: Gating, activation: Activation, type: WeightType, isRouted: Bool = false,
    outputOrder: ColumnOrder = .plain, rows: Int, width: Int, count: Int, pieces: Int,
    isAccumulating: Bool, on device: CUDADevice
  ) {
    let cells = (width + 63) / 64 * pieces
    let hasSegments =
      isAccumulating && gating == .linear && activation == .identity && cells > Self.segmentCells
    let segment = hasSegments ? Self.segmentCells : 0
    let segments = hasSegments ? (cells + segment - 1) / segment : 1
    let variants = FusedLinearPromptVariant.columns(of: gating).map {
      FusedLinearPromptVariant(
        gating: gating, activation: activation, type: type, isRouted: isRouted,
        outputOrder: outputOrder, columns: $0)
    }
    var best: (cycles: Int, variant: FusedLinearPromptVariant, isSplit: Bool)?
    for isSplit in hasSegments ? [false, true] : [false] {
      for variant in variants {
        let work = variant.tiles(rows: rows, count: count) * (isSplit ? segments : 1)
        let rounds = (work + device.multiprocessorCount - 1) / device.multiprocessorCount
        let cycles =
          rounds * (isSplit ? segment : cells) * variant.cyclesOfStage
          // Blocks add one after the other.
          + (isSplit ? segments * variant.columns * 10 : 0)
        if best.map({ cycles < $0.cycles }) ?? true { best = (cycles, variant, isSplit) }
      }
    }
    let (_, variant, isSplit) = best!
    let tiles = variant.tiles(rows: rows, count: count)
    (self.variant, self.segment, self.isSplit) = (variant, segment, isSplit)
    grid = max(1, min(device.multiprocessorCount, tiles * (isSplit ? segments : 1)))
    turnBytes = isSplit ? tiles * 8 : 0
  }

  /// 4096 columns.
  private static let segmentCells = 64

  /// Rows of x that a launch takes: what is staged of them fits `limit` bytes, but 1024 at least.
  static func mostRows(width: Int, pieces: Int, limit: Int = 256 << 20) -> Int {
    max(1024, limit / (pieces * FusedLinearVariant.inputStride(width: width)) / 1024 * 1024)
  }
}
