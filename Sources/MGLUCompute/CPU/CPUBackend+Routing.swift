// Route weights of a routed unit, forward and backward.

extension CPUBackend {
  public func route(_ logits: Tensor, topK: Int, into routes: Tensor) {
    precondition(logits.count == routes.count, "the routes have another size")
    pool.forEachRange(of: logits.rows, grain: 256) { range in
      kernels.route(
        logits.floats, routes.floats, Int64(logits.columns), Int64(topK),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func routeBackward(_ routesGradient: Tensor, routes: Tensor, logitsGradient: Tensor) {
    precondition(
      routesGradient.count == routes.count && logitsGradient.count == routes.count,
      "the routes have another size")
    pool.forEachRange(of: routes.rows, grain: 256) { range in
      kernels.route_backward(
        routes.floats, routesGradient.floats, logitsGradient.floats, Int64(routes.columns),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }
}
