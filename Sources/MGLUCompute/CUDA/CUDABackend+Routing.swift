// Route weights of a routed unit, forward and backward.

extension CUDABackend {
  public func route(_ logits: Tensor, topK: Int, into routes: Tensor) {
    launch(
      "tokens", "route", grid: LaunchSize((logits.count + 127) / 128), block: 128,
      arguments: logits.deviceAddress, routes.deviceAddress, Int32(logits.rows),
      Int32(logits.columns), Int32(topK))
  }

  public func routeBackward(_ routesGradient: Tensor, routes: Tensor, logitsGradient: Tensor) {
    precondition(
      routesGradient.dataType == .float32 && logitsGradient.dataType == .bfloat16
        && routesGradient.count == routes.count && logitsGradient.count == routes.count,
      "the routes have another size or type")
    guard routes.count > 0 else { return }
    launch(
      "training_units", "route_backward", options: rowOptions(8),
      grid: LaunchSize((routes.rows + 255) / 256), block: 256, programmatic: false,
      arguments: routesGradient.deviceAddress, routes.deviceAddress, logitsGradient.deviceAddress,
      Int64(routes.rows), Int32(routes.columns))
  }
}
