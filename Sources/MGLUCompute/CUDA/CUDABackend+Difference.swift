// Differences of rows, as a conversion measures them, through training.cu.

extension CUDABackend {
  public func scaledDifference(
    _ x: Tensor, _ y: Tensor?, rowScales: Tensor?, into e: Tensor
  ) {
    precondition(
      x.dataType == .bfloat16 && y?.dataType ?? .bfloat16 == .bfloat16
        && [.bfloat16, .float32].contains(e.dataType) && e.count == x.count
        && y?.count ?? x.count == x.count && rowScales?.count ?? x.rows == x.rows,
      "the difference has another size or type")
    guard x.count > 0 else { return }
    launch(
      "training",
      e.dataType == .float32 ? "scaled_difference_wide" : "scaled_difference",
      options: rowOptions(x.columns, x, y, e), grid: LaunchSize((x.rows + 7) / 8), block: 256,
      programmatic: false,
      arguments: x.deviceAddress, y?.deviceAddress ?? 0, rowScales?.deviceAddress ?? 0,
      e.deviceAddress, Int64(x.rows), Int32(x.columns))
  }
}
