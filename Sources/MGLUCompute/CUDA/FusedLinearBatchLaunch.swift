/// A launch of fused_linear_batch.cu: how a step of many rows is shared out.
///
/// An item is 64 or 128 rows of W by ``columns`` rows of x. More columns read less, fewer keep more
/// multiprocessors busy, and two blocks that share an item have half of its cells each. Which of these
/// is fastest was measured on an H100, with the matrices of a model of h 2048 and d 8192 over 8 to 256
/// rows; ``init(gating:activation:type:output:rows:width:batch:pieces:on:)`` counts what it costs.
package struct FusedLinearBatchLaunch: Equatable {
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

  /// Bytes for rows of x that are staged: a power of two, for what is outgrown stays.
  static func stagedBytes(rows: Int, pieces: Int, width: Int) -> Int {
    let bytes = rows * pieces * FusedLinearVariant.inputStride(width: width)
    return 1 << (Int.bitWidth - (bytes - 1).leadingZeroBitCount)
  }

  /// A launch for a unit or projection `[rows, width]` over `batch` rows of x.
  package init(
    gating: Gating, activation: Activation, type: WeightType, output: DataType, rows: Int,
    width: Int, batch: Int, pieces: Int, on device: CUDADevice
  ) {
    let (masks, planes) = (gating.masks, gating.planes)
    let streams = planes + masks
    let cells = (width + 63) / 64
    let cellBytes = FusedLinearVariant.cellBytes(masks: masks, planes: planes, type: type)
    var best: (cost: Double, candidate: Candidate)?
    for candidate in Candidate.all {
      let (tiles, cellRows, cluster) = (candidate.tiles, candidate.rows, candidate.cluster)
      // Two rows of cells for each warp would want a third set of sums of a unit.
      guard cellRows == 1 || streams == 1 else { continue }
      // Of a thread's registers, sums of a slice and of all.
      guard tiles == 1 || cellRows * streams * tiles <= (type == .int8 ? 10 : 20) else { continue }
      guard
        candidate.stages(cellBytes, streams: streams, pieces: pieces, on: device) >= 3
      else { continue }
      let items = candidate.items(rows: rows, batch: batch)
      // Clusters do not go on to further items, and start anew for some microseconds.
      guard cluster == 1 || items * cluster <= device.multiprocessorCount else { continue }
      let waves =
        (items * cluster + device.multiprocessorCount - 1) / device.multiprocessorCount
      let stage = Double(2 * cellRows) + Double(tiles) * (0.5 + Double(cellRows * streams))
      let cost =
        Double(waves) * Double((cells + cluster - 1) / cluster) * stage
        + (cluster > 1 ? Self.exchangeCost : 0)
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
    columns = candidate.columns
    options =
      [
        "-DMASKS=\(masks)", "-DPLANES=\(planes)", "-DBF16=\(type == .bfloat16 ? 1 : 0)",
        "-DGATING=\(gating.kernelValue.rawValue)",
        "-DACTIVATION=\(activation.kernelValue.rawValue)",
        "-DOUTPUT=\(output.kernelValue.rawValue)", "-DTILES=\(candidate.tiles)",
        "-DROWS=\(candidate.rows)", "-DCLUSTER=\(candidate.cluster)",
      ] + (type == .int8 ? ["-DINT8=1"] : [])
  }

  /// What sums on their way between blocks cost, where a tile of eight columns costs a cell 1.
  private static let exchangeCost = 20.0
}

/// How large an item of fused_linear_batch.cu is, and how many blocks share it.
private struct Candidate {
  /// Of eight rows of x for each warp.
  let tiles: Int
  /// Of cells for each warp.
  let rows: Int
  let cluster: Int

  /// Smaller ones first: they win where costs are equal.
  static let all = [1, 2].flatMap { rows in
    [1, 2, 4, 8].flatMap { tiles in
      [1, 2].map { Candidate(tiles: tiles, rows: rows, cluster: $0) }
    }
  }

  /// Two warps share the rows of x, four the rows of W.
  var columns: Int { 2 * tiles * 8 }
  private var cellRows: Int { 4 * rows }

  func items(rows: Int, batch: Int) -> Int {
    let tiles = (rows + 15) / 16
    return (tiles + cellRows - 1) / cellRows * ((batch + columns - 1) / columns)
  }

  func sharedBytes(_ cellBytes: Int, stages: Int, streams: Int, pieces: Int) -> Int {
    let stage = cellRows * cellBytes + columns * 128 + 16
    // Eight slices of what the block owns of each thread's outputs.
    let exchanged = pieces * 8 * (rows * tiles * 4 / cluster) * streams * 256 * 4
    return stages * stage + 8 + (cluster > 1 ? exchanged : 0)
  }

  func stages(_ cellBytes: Int, streams: Int, pieces: Int, on device: CUDADevice) -> Int {
    (0...12).last {
      sharedBytes(cellBytes, stages: $0, streams: streams, pieces: pieces)
        <= device.sharedBytesPerBlock
    } ?? 0
  }
}
