/// How large an item of fused_linear_batch.cu or fused_linear_batch_wide.cu is, how many blocks share it, and
/// what that costs.
struct FusedLinearBatchCandidate: Equatable {
  /// Whether warpgroups multiply: fused_linear_batch_wide.cu.
  let isWide: Bool
  /// Rows of x: of each warp, or of each warpgroup.
  let columns: Int
  /// Rows of cells of each warp, where not wide.
  let rows: Int
  /// Parts of the rows of x, which warps, or warpgroups, have one each of.
  let across: Int
  /// Blocks that share an item, some slices of its sums each.
  let cluster: Int

  /// Of warps by themselves; smaller ones first: they win where costs are equal.
  static let narrow = [1, 2].flatMap { rows in
    [8, 16, 32, 64].flatMap { columns in
      [1, 2].map {
        FusedLinearBatchCandidate(
          isWide: false, columns: columns, rows: rows, across: 2, cluster: $0)
      }
    }
  }

  /// Of warpgroups, for a number of sums of each result; none where there are too many for registers.
  static func wide(streams: Int) -> [FusedLinearBatchCandidate] {
    let shapes: [(columns: Int, across: Int, cluster: Int)] =
      switch streams {
      case 1:
        [
          (32, 1, 1), (64, 1, 1), (64, 2, 1), (128, 1, 1), (32, 2, 2), (64, 2, 2), (32, 1, 4),
          (64, 1, 4), (128, 1, 4),
        ]
      case 2: [(16, 2, 1), (32, 1, 1), (32, 2, 1), (64, 1, 1), (64, 2, 1)]
      case 3: [(16, 2, 1), (32, 1, 1), (48, 1, 1)]
      case 4, 5: [(16, 1, 1), (32, 1, 1)]
      default: []
      }
    return shapes.map {
      FusedLinearBatchCandidate(
        isWide: true, columns: $0.columns, rows: 1, across: $0.across, cluster: $0.cluster)
    }
  }

  /// Rows of x of an item.
  var itemColumns: Int { across * columns }
  /// Rows of cells of an item: of eight warps, `across` have the same.
  var cellRows: Int { 8 / across * rows }

  func items(rows: Int, batch: Int) -> Int {
    let tiles = (rows + 15) / 16
    return (tiles + cellRows - 1) / cellRows * ((batch + itemColumns - 1) / itemColumns)
  }

  private func stageBytes(_ cellBytes: Int) -> Int { cellRows * cellBytes + itemColumns * 128 }

  /// What a block of a cluster has of the sums of all slices.
  private func exchangedBytes(streams: Int, pieces: Int) -> Int {
    cluster == 1 ? 0 : pieces * 8 * itemColumns * cellRows * 16 / cluster * streams * 4
  }

  func sharedBytes(_ cellBytes: Int, stages: Int, streams: Int, pieces: Int) -> Int {
    let ring = stages * (stageBytes(cellBytes) + 16)
    if !isWide { return ring + 8 + exchangedBytes(streams: streams, pieces: pieces) }
    // Results on their way out, of two warpgroups: the sums that a cluster exchanges take the ring's place.
    let owned = columns / cluster
    return ring + 16 + 2 * (owned % 32 == 0 ? 32 : owned % 16 == 0 ? 16 : 8) * 68 * 4
  }

  /// Stages of the ring, or 0 where there is no room for what is needed.
  func stages(_ cellBytes: Int, streams: Int, pieces: Int, on device: CUDADevice) -> Int {
    let stages =
      (0...12).last {
        sharedBytes(cellBytes, stages: $0, streams: streams, pieces: pieces)
          <= device.sharedBytesPerBlock
      } ?? 0
    let hasRoom =
      !isWide
      || stages * stageBytes(cellBytes) >= exchangedBytes(streams: streams, pieces: pieces)
    return hasRoom ? stages : 0
  }

  /// Blocks that run side by side. Clusters of four do not fill all groups of multiprocessors: an H100 of
  /// 132 takes 30.
  func residents(on device: CUDADevice) -> Int {
    let count = device.multiprocessorCount
    return cluster == 4 ? max(1, count * 30 / 132) * 4 : count / cluster * cluster
  }

  /// Microseconds of what blocks do one after the other, as measured on an H100 over 8 to 256 rows of x, and what
  /// the memory takes longer. The way from one kernel to the next takes all candidates as long.
  func microseconds(
    rows: Int, cells: Int, batch: Int, streams: Int, masks: Int, cellBytes: Int,
    on device: CUDADevice
  ) -> Double {
    let blocks = items(rows: rows, batch: batch) * cluster
    let residents = residents(on: device)
    let waves = (blocks + residents - 1) / residents
    let ownCells = Double(waves * ((cells + cluster - 1) / cluster))
    let computing: Double
    if isWide {
      // Cycles of a cell: of tensor cores, of copies, which all blocks share, of lanes that apply masks, and of
      // warpgroups that read the same words of W; or those from its arrival to its last product.
      let products = Double(4 * columns * streams)
      let bytes = Double(stageBytes(cellBytes)) / 1024
      let share = max(0.6, min(1, Double(blocks) / Double(device.multiprocessorCount)))
      let lanes = Double(110 * masks + 100 * (across - 1))
      let cycles = max(400, 240 + 0.55 * products + 8 * bytes * share + lanes)
      computing = ownCells * cycles / 1750
    } else {
      let tiles = Double(columns / 8)
      computing =
        ownCells * (Double(2 * self.rows) + tiles * (0.5 + Double(self.rows * streams)))
        * 0.034
    }
    let exchanged = Double(exchangedBytes(streams: streams, pieces: 1)) / 1024
    let exchange = cluster == 1 ? 0 : isWide ? 1 + 0.042 * exchanged : 0.7
    // Weights come from the memory once, and from the L2 for further groups of rows.
    let reading = Double((rows + 15) / 16 * cells * cellBytes) / 3.09e6
    let groups = Double((batch + itemColumns - 1) / itemColumns)
    let waiting = reading * (1 + 0.12 * (groups - 1)) - max(computing, reading)
    return computing + exchange + max(0, waiting)
  }
}
