/// A variant of fused_linear.cu, and how much of a multiprocessor its blocks take.
///
/// Sizes of the ring of copies in flight were measured on an H100. Where nothing but the weights is
/// waited for: for matrices that keep a multiprocessor busy for some ten microseconds, two small
/// blocks on each, one of which may belong to the next kernel and read ahead for it; for larger ones
/// a single block with all the shared memory. Over several rows even two blocks with rings of two
/// stages are faster than one (8192 x 2048, 4 masks, 8 rows: 21.4 us in place of 25.1), and a third
/// stage is worth more than a second place for sums (17.4 in place of 18.4; where a single block has
/// room for both, it is not: 30.3 in place of 28.5 with 8 masks). In a model's
/// step, where every kernel waits for the one before: one block of 150 KiB, which the next follows as
/// multiprocessors become free (58 us a layer of 122 MB, against 64 with two kernels side by side).
package struct FusedLinearVariant {
  let masks: Int
  let planes: Int
  let type: WeightType
  /// Rows of x.
  let batch: Int
  /// Columns of input that each takes.
  let pieces: Int
  /// h.
  let width: Int

  /// A variant for `masks` masks, or two `planes`, of `type`, over `batch` rows of `width`.
  package init(masks: Int, planes: Int, type: WeightType, batch: Int, pieces: Int, width: Int) {
    (self.masks, self.planes, self.type) = (masks, planes, type)
    (self.batch, self.pieces, self.width) = (batch, pieces, width)
  }

  /// Columns of input.
  var columns: Int { batch * pieces }

  static let warps = 8
  /// The most columns of a pass.
  package static let mostColumns = 16

  private var streams: Int { planes == 2 ? 2 : masks + 1 }
  private var tiles: Int { columns > 8 ? 2 : 1 }

  /// Bytes of 16 rows and 64 columns with their bits, and with their scales where they are integers.
  static func cellBytes(masks: Int, planes: Int, type: WeightType) -> Int {
    planes * (type == .int8 ? 1024 + 64 : 2048) + masks * 128
  }
  private var cellBytes: Int { Self.cellBytes(masks: masks, planes: planes, type: type) }
  /// Bytes from one staged row of x to the next.
  var inputStride: Int { Self.inputStride(width: width) }
  static func inputStride(width: Int) -> Int { (width + 63) / 64 * 128 + 64 }

  /// Bytes for rows of x that are staged: a power of two, for what is outgrown stays.
  static func stagedBytes(rows: Int, pieces: Int, width: Int) -> Int {
    let bytes = rows * pieces * inputStride(width: width)
    return 1 << (Int.bitWidth - (bytes - 1).leadingZeroBitCount)
  }

  /// Shared memory with a ring of `stages` cells for every warp.
  private func sharedBytes(stages: Int, places: Int, isStaged: Bool) -> Int {
    let ring = Self.warps * stages * cellBytes + (Self.warps * stages * 8 + 127) / 128 * 128
    let sums = places * Self.warps * streams * 16 * columns * 4
    return ring + (isStaged ? 0 : columns * inputStride) + sums + (Self.warps + columns) * 4
  }

  /// NVRTC's options for the variant.
  package func options(isStaged: Bool) -> [String] {
    [
      "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
      "-DTILES=\(tiles)", "-DSTAGED=\(isStaged ? 1 : 0)",
    ] + (type == .int8 ? ["-DINT8=1"] : [])
  }

  /// How it is launched on a device for a matrix of `rows` rows, or `nil` where shared memory cannot
  /// hold the input. Where it is chained, kernels before and after depend on each other.
  package func launch(
    rows: Int, isStaged: Bool = false, isChained: Bool = false, on device: CUDADevice
  ) -> FusedLinearLaunch? {
    let (tileRows, cells) = ((rows + 15) / 16, (width + 63) / 64)
    let isSmall =
      tileRows * cells * cellBytes / device.multiprocessorCount < Self.smallBytes
      // The others are compiled for more registers than two blocks have.
      && masks <= (type == .int8 ? 4 : 8) && tiles == 1
    // A block takes 1 KiB more than it asks for.
    let half = device.sharedBytesPerMultiprocessor / 2 - 1024
    let chained = min(device.sharedBytesPerBlock, Self.chainedBytes)
    let sizes =
      isChained
      ? [(1, chained), (1, device.sharedBytesPerBlock)]
      : isSmall ? [(2, half), (1, device.sharedBytesPerBlock)] : [(1, device.sharedBytesPerBlock)]
    for (residents, budget) in sizes {
      let grid = max(1, min(tileRows, residents * device.multiprocessorCount))
      let places = residents == 2 && columns > 1 ? 1 : 2
      let fixed = sharedBytes(stages: 0, places: places, isStaged: isStaged)
      // Where barriers begin a line of their own.
      let stages = (budget - fixed - 128) / (Self.warps * (cellBytes + 8))
      // A staged row alone is the least there is: a ring of one is slow, and right.
      let least = batch > 1 ? 2 : residents == 2 ? 3 : isStaged ? 1 : 2
      guard stages >= least else { continue }
      // No more than a warp has to read.
      let used = min(
        stages, 12, (cells + Self.warps - 1) / Self.warps * ((tileRows + grid - 1) / grid))
      return FusedLinearLaunch(
        options: options(isStaged: isStaged), stages: used, places: places,
        sharedBytes: sharedBytes(stages: used, places: places, isStaged: isStaged),
        grid: grid)
    }
    return nil
  }

  /// How many rows of x, of `pieces` columns each, share a pass over a matrix of `rows` rows: as many
  /// as there are columns, or as shared memory holds. A row that it cannot hold is staged in memory,
  /// and so are then as many as leave room for their sums.
  package static func pass(
    masks: Int, planes: Int, type: WeightType, width: Int, pieces: Int, rows: Int,
    on device: CUDADevice
  ) -> (rows: Int, isStaged: Bool) {
    let counts = 1...mostColumns / pieces
    for isStaged in [false, true] {
      let most = counts.last { count in
        FusedLinearVariant(
          masks: masks, planes: planes, type: type, batch: count, pieces: pieces, width: width
        ).launch(rows: rows, isStaged: isStaged, on: device) != nil
      }
      if let most { return (most, isStaged) }
    }
    preconditionFailure("no shared memory for \(masks) masks on \(device.name)")
  }

  /// Bytes for a multiprocessor below which a matrix is small: at 380 KB (8192 x 2048, 8 masks) two
  /// blocks are faster, at 510 KB (SwiGLU of the same size) one is.
  private static let smallBytes = 450_000
  /// Shared memory of a block in a chain.
  private static let chainedBytes = 150 << 10
}

/// A launch of fused_linear.cu.
package struct FusedLinearLaunch: Equatable {
  /// NVRTC's options for the variant.
  package let options: [String]
  /// Cells of a warp's ring.
  package let stages: Int
  /// How many tiles' sums there is room for, which take turns.
  package let places: Int
  /// Shared memory of a block.
  package let sharedBytes: Int
  /// Blocks.
  package let grid: Int
}
