/// A variant of flash.cu, and how much of a multiprocessor its blocks take.
///
/// Two sizes of the ring of copies in flight were measured on an H100: for matrices that keep a
/// multiprocessor busy for some ten microseconds, two small blocks on each, one of which may belong
/// to the next kernel and read ahead for it; for larger ones a single block with all the shared
/// memory.
struct FlashVariant {
  var masks: Int
  var planes: Int
  var type: WeightType
  /// Columns of input: rows of x times the pieces of each.
  var columns: Int
  /// h.
  var width: Int

  static let warps = 8
  /// The most columns of a pass.
  static let mostColumns = 16

  private var streams: Int { planes == 2 ? 2 : masks + 1 }
  private var tiles: Int { columns > 8 ? 2 : 1 }

  /// Bytes of 16 rows and 64 columns with their bits.
  static func cellBytes(masks: Int, planes: Int) -> Int { planes * 2048 + masks * 128 }
  private var cellBytes: Int { Self.cellBytes(masks: masks, planes: planes) }
  /// Bytes from one staged row of x to the next.
  var inputStride: Int { (width + 63) / 64 * 128 + 64 }

  /// Shared memory with a ring of `stages` cells for every warp.
  private func sharedBytes(stages: Int, isStaged: Bool) -> Int {
    let ring = Self.warps * stages * cellBytes + (Self.warps * stages * 8 + 127) / 128 * 128
    let sums = 2 * Self.warps * streams * 16 * columns * 4
    return ring + (isStaged ? 0 : columns * inputStride) + sums + (Self.warps + columns) * 4
  }

  /// How it is launched on a device for a matrix of `rows` rows, or `nil` where shared memory cannot
  /// hold the input.
  func launch(rows: Int, isStaged: Bool = false, on device: CUDADevice) -> FlashLaunch? {
    let tileRows = (rows + 15) / 16
    let bytes = tileRows * ((width + 63) / 64) * cellBytes
    let isSmall = bytes / device.multiprocessorCount < Self.smallBytes
    // A block takes 1 KiB more than it asks for.
    let half = device.sharedBytesPerMultiprocessor / 2 - 1024
    for (residents, budget) in [(2, half), (1, device.sharedBytesPerBlock)]
    where residents == 1 || isSmall {
      let fixed = sharedBytes(stages: 0, isStaged: isStaged)
      // Where barriers begin a line of their own.
      let stages = (budget - fixed - 128) / (Self.warps * (cellBytes + 8))
      guard stages >= (residents == 2 ? 3 : 2) else { continue }
      let used = min(stages, 12)
      return FlashLaunch(
        options: [
          "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
          "-DTILES=\(tiles)", "-DSTAGED=\(isStaged ? 1 : 0)",
        ],
        stages: used, sharedBytes: sharedBytes(stages: used, isStaged: isStaged),
        grid: max(1, min(tileRows, residents * device.multiprocessorCount)))
    }
    return nil
  }

  /// Bytes for a multiprocessor below which a matrix is small: at 380 KB (8192 x 2048, 8 masks) two
  /// blocks are faster, at 510 KB (SwiGLU of the same size) one is.
  private static let smallBytes = 450_000
}

/// A launch of flash.cu.
struct FlashLaunch: Equatable {
  let options: [String]
  let stages: Int
  let sharedBytes: Int
  let grid: Int
}
