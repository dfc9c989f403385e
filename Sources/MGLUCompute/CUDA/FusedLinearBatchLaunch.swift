/// A launch of fused_linear_batch.cu or fused_linear_batch_wide.cu: how a step of many rows is shared out.
///
/// An item is some rows of W by ``columns`` rows of x. More of either read less, fewer keep more
/// multiprocessors busy, and blocks that share an item have some of its cells each. Which of these is
/// fastest was measured on an H100, with the matrices of a model of h 2048 and d 8192 over 8 to 256 rows;
/// ``FusedLinearBatchCandidate`` counts what it costs. Both kernels give a row the same bits.
package struct FusedLinearBatchLaunch: Equatable {
  /// The source, and its kernel.
  package let kernel: String
  /// NVRTC's options for the variant.
  package let options: [String]
  /// Stages of the ring, 64 columns of W and x each.
  package let stages: Int
  /// Shared memory of a block.
  package let sharedBytes: Int
  /// Blocks.
  package let grid: Int
  /// Rows of x of an item.
  package let columns: Int
  /// Rows of cells of an item.
  let tiles: Int
  /// How columns of x lie for it.
  package let order: ColumnOrder

  /// Where x comes from.
  package enum Input: Equatable {
    /// Rows are staged before, in any order.
    case staged
    /// Rows in the weights' type lie in memory, in an order; plain ones may be staged.
    case rows(ColumnOrder)
  }

  /// Rows of x that a launch is made for at most.
  package static let mostRows = 256
  /// Threads of a block.
  static let threads = 384

  /// Whether a GPU has the instructions.
  package static func isAvailable(on device: CUDADevice) -> Bool {
    device.capability == CUDACapability(9, 0) && !device.standsForOlder
  }

  /// Whether it is faster than fused_linear.cu over `rows` rows of x of `pieces` columns each: a projection
  /// to 2048 takes it 5.5 us over 4 rows and 7.3 over 8, and this 6.4 over either.
  package static func serves(rows: Int, pieces: Int) -> Bool {
    rows * pieces > (pieces == 1 ? 4 : FusedLinearVariant.mostColumns)
  }

  /// Whether so many rows are interleaved, where a projection reads what the operation before it leaves: for
  /// 17 rows and more warpgroups are the faster ones, or as fast.
  package static func interleaves(rows: Int) -> Bool { rows > 16 }

  /// Microseconds that the staging of rows takes.
  private static let stagingTime = 3.0

  /// A launch for a unit or projection `[rows, width]` over `batch` rows of x, whose output has an order.
  package init(
    gating: Gating, activation: Activation, type: WeightType, output: DataType,
    outputOrder: ColumnOrder = .plain, input: Input = .staged, rows: Int, width: Int, batch: Int,
    pieces: Int, on device: CUDADevice
  ) {
    let (masks, planes) = (gating.masks, gating.planes)
    let streams = planes + masks
    let cells = (width + 63) / 64
    let cellBytes = FusedLinearVariant.cellBytes(masks: masks, planes: planes, type: type)
    let narrow = input == .rows(.interleaved) ? [] : FusedLinearBatchCandidate.narrow
    let wide =
      pieces == 1 && type != .int8 ? FusedLinearBatchCandidate.wide(streams: streams) : []
    var best: (cost: Double, candidate: FusedLinearBatchCandidate)?
    for candidate in narrow + wide {
      let (columns, cellRows, cluster) = (candidate.columns, candidate.rows, candidate.cluster)
      if !candidate.isWide {
        // Two rows of cells for each warp would want a third set of sums of a unit.
        guard cellRows == 1 || streams == 1 else { continue }
        // Of a thread's registers, sums of a slice and of all.
        guard columns == 8 || cellRows * streams * columns <= (type == .int8 ? 80 : 160) else {
          continue
        }
      }
      guard
        candidate.stages(cellBytes, streams: streams, pieces: pieces, on: device) >= 3
      else { continue }
      // Clusters do not go on to further items, and start anew for some microseconds.
      let blocks = candidate.items(rows: rows, batch: batch) * cluster
      guard cluster == 1 || blocks <= candidate.residents(on: device) else { continue }
      let cost =
        candidate.microseconds(
          rows: rows, cells: cells * pieces, batch: batch, streams: streams, masks: masks,
          cellBytes: cellBytes, on: device)
        + (candidate.isWide && input == .rows(.plain) ? Self.stagingTime : 0)
      if cost < best?.cost ?? .infinity { best = (cost, candidate) }
    }
    guard let candidate = best?.candidate else {
      preconditionFailure("no shared memory for \(masks) masks on \(device.name)")
    }
    let stages = candidate.stages(cellBytes, streams: streams, pieces: pieces, on: device)
    let items = candidate.items(rows: rows, batch: batch)
    self.stages = stages
    sharedBytes = candidate.sharedBytes(
      cellBytes, stages: stages, streams: streams, pieces: pieces)
    grid =
      candidate.cluster > 1
      ? items * candidate.cluster : max(1, min(items, device.multiprocessorCount))
    (columns, tiles) = (candidate.itemColumns, candidate.cellRows)
    kernel = candidate.isWide ? "fused_linear_batch_wide" : "fused_linear_batch"
    order = candidate.isWide ? .interleaved : .plain
    options =
      [
        "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
        "-DGATING=\(gating.kernelValue.rawValue)",
        "-DACTIVATION=\(activation.kernelValue.rawValue)",
        "-DOUTPUT=\(output.kernelValue.rawValue)",
      ]
      + (candidate.isWide
        ? [
          "-DCOLUMNS=\(candidate.columns)", "-DACROSS=\(candidate.across)",
          "-DSPLIT=\(candidate.cluster)",
        ]
        : [
          "-DTILES=\(candidate.columns / 8)", "-DROWS=\(candidate.rows)",
          "-DCLUSTER=\(candidate.cluster)",
        ])
      + (type == .int8 ? ["-DINT8=1"] : [])
      + outputOrder.options
  }
}

extension ColumnOrder {
  /// NVRTC's options for a kernel that leaves rows so.
  var options: [String] { self == .interleaved ? ["-DINTERLEAVED=1"] : [] }
}
