/// A variant of fused_linear_prompt.cu, and how it is launched.
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
  /// Rows of x in a tile.
  package let columns: Int

  /// A variant for a unit or projection whose tiles have `columns` rows of x.
  package init(
    gating: Gating, activation: Activation, type: WeightType, isRouted: Bool = false, columns: Int
  ) {
    (masks, planes) = (gating.masks, gating.planes)
    (self.gating, self.activation, self.type) = (gating, activation, type)
    (self.isRouted, self.columns) = (isRouted, columns)
  }

  /// The variant for `count` rows of x: the one whose tiles are computed soonest.
  package init(
    gating: Gating, activation: Activation, type: WeightType, isRouted: Bool, rows: Int, count: Int,
    on device: CUDADevice
  ) {
    let variants = Self.columns(of: gating).map {
      FusedLinearPromptVariant(
        gating: gating, activation: activation, type: type, isRouted: isRouted, columns: $0)
    }
    func cycles(_ variant: FusedLinearPromptVariant) -> Int {
      let blocks = device.multiprocessorCount
      let tiles = variant.tiles(rows: rows, count: count)
      return (tiles + blocks - 1) / blocks * variant.cyclesOfStage
    }
    self = variants.min { cycles($0) < cycles($1) }!
  }

  /// The tiles that there are variants for, largest first: what a warm-up compiles.
  package static func columns(of gating: Gating) -> [Int] {
    switch gating.planes + gating.masks {
    case 1: [256, 192, 128, 64]
    case 2: [128, 96, 64]
    case 3: [96, 64, 32]
    case 4: [80, 64, 32]
    case 5: [64, 32]
    case 6: [48, 32]
    case 7...10: [32, 16]
    default: [16]
    }
  }

  /// Whether a GPU has the instructions; others compute rows of prompts as they compute any.
  package static func isAvailable(on device: CUDADevice) -> Bool {
    device.capability == CUDACapability(9, 0) && !device.standsForOlder
  }

  /// Rows of W in a tile.
  static let tileRows = 128
  /// Threads of a block: two warpgroups that multiply, and one that copies.
  package static let threads = 384
  /// Threads of a block that stages a row of x.
  static let stagingThreads = 256

  private var streams: Int { planes + masks }
  /// Bytes of 64 columns of a tile's rows of x, and of its rows of W.
  private var stageBytes: (x: Int, weights: Int) {
    (
      columns * 128,
      Self.tileRows / 16 * FusedLinearVariant.cellBytes(masks: masks, planes: planes, type: type)
    )
  }
  /// What a block takes for 64 columns of W: 4096 operations a cycle, or 50 bytes, whatever is more.
  private var cyclesOfStage: Int {
    max(4 * columns * streams, (stageBytes.x + stageBytes.weights) / 50)
  }
  /// Shared memory in which sums change places on their way out.
  private var outputBytes: Int { 2 * (columns % 32 == 0 ? 32 : 16) * 68 * 4 }
  /// Stages of the ring, as the kernel counts them.
  package var stages: Int {
    (227 * 1024 - outputBytes - 256) / (stageBytes.x + stageBytes.weights)
  }
  /// Shared memory of a block.
  package var sharedBytes: Int {
    stages * (stageBytes.x + stageBytes.weights + 16) + outputBytes
  }

  /// Tiles of `rows` rows of W and `count` rows of x.
  package func tiles(rows: Int, count: Int) -> Int {
    (rows + Self.tileRows - 1) / Self.tileRows * ((count + columns - 1) / columns)
  }

  /// Bytes of `count` rows of x of `width` numbers, staged in `pieces`.
  package func stagedBytes(count: Int, width: Int, pieces: Int) -> Int {
    pieces * ((width + 63) / 64) * ((count + columns - 1) / columns) * stageBytes.x
  }

  /// NVRTC's options for the variant.
  package var options: [String] {
    [
      "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
      "-DGATING=\(gating.kernelValue.rawValue)",
      "-DACTIVATION=\(activation.kernelValue.rawValue)", "-DROUTED=\(isRouted ? 1 : 0)",
      "-DCOLUMNS=\(columns)",
    ]
  }

  /// Rows of x that a pass takes: what is staged of them fits `limit` bytes, but a large tile at least.
  static func mostRows(width: Int, pieces: Int, limit: Int = 256 << 20) -> Int {
    max(1024, limit / (pieces * (width + 63) / 64 * 128) / 1024 * 1024)
  }
}
