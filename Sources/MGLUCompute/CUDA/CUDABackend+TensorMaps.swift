import CMGLUKernels

// What the copy engine of Hopper is told of x and W, whose parts kernels of many rows copy.

extension CUDABackend {
  /// Whether the driver describes tensors to the copy engine.
  var mapsTensors: Bool { context.driver.functions.cuTensorMapEncodeTiled != nil }

  /// The map of rows of x, staged or in place, of which `boxRows` are copied at a time; `nil` after a failure.
  func mapRows(
    _ arguments: cmglu_cuda_fused_linear, isStaged: Bool, _ order: ColumnOrder, boxRows: Int
  ) -> cmglu_cuda_tensor_map? {
    let (columns, pieces) = (Int(arguments.columns), Int64(arguments.pieces))
    let stride = Int64(
      isStaged ? FusedLinearVariant.inputStride(width: columns) : columns * 2)
    let encode =
      order == .interleaved ? cmglu_cuda_map_interleaved_rows : cmglu_cuda_map_rows
    return tensorMap { functions, map in
      encode(
        &functions, &map, isStaged ? arguments.staged : arguments.x, arguments.columns,
        arguments.batch, pieces * stride, arguments.pieces, stride, Int32(boxRows))
    }
  }

  /// The map of weights in cells, of which one of `boxTiles` rows of cells is copied at a time; `nil` after a
  /// failure.
  func mapCells(
    _ cells: Tensor, _ weights: PackedWeights, boxTiles: Int
  ) -> cmglu_cuda_tensor_map? {
    let bytes = FusedLinearVariant.cellBytes(
      masks: weights.gating.masks, planes: weights.gating.planes, type: weights.type)
    return tensorMap { functions, map in
      cmglu_cuda_map_cells(
        &functions, &map, cells.deviceAddress, Int32(bytes), Int32((weights.columns + 63) / 64),
        Int32((weights.rows + 15) / 16), Int32(boxTiles))
    }
  }

  private func tensorMap(
    _ encode: (inout cmglu_cuda_driver, inout cmglu_cuda_tensor_map) -> cmglu_cuda_result
  ) -> cmglu_cuda_tensor_map? {
    var map = cmglu_cuda_tensor_map()
    // A pass that only says which kernels it needs may have no memory yet.
    if isPreparing { return map }
    let isMapped: Void? = attempt { () throws(CUDAError) in
      var functions = context.driver.functions
      try context.driver.check(encode(&functions, &map), "cuTensorMapEncodeTiled")
    }
    return isMapped.map { map }
  }
}
