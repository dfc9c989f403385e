// Memory, which is the machine's own, and the order of operations: each is done when its call returns.

extension CPUBackend {
  public func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result {
    var measuring = ArenaLayout()
    _ = try describe(&measuring)
    let arena = Arena(HostMemory(byteCount: measuring.byteCount, meter: meter))
    var layout = ArenaLayout(over: arena)
    return try describe(&layout)
  }

  public func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result {
    try allocate(describe)
  }

  public func toDevice(_ tensor: Tensor) -> Tensor { tensor }

  public func clear(_ tensor: Tensor) {
    guard let base = tensor.bytes.baseAddress else { return }
    pool.forEachRange(of: tensor.byteCount, unit: 64, grain: 1 << 16) { range in
      (base + range.lowerBound).initializeMemory(
        as: UInt8.self, repeating: 0, count: range.count)
    }
  }

  public func copy(_ source: Tensor, into target: Tensor) {
    precondition(source.byteCount == target.byteCount, "copy between tensors of different sizes")
    let (from, to) = (source.bytes.baseAddress!, target.bytes.baseAddress!)
    pool.forEachRange(of: source.byteCount, unit: 64, grain: 1 << 16) { range in
      (to + range.lowerBound).copyMemory(from: from + range.lowerBound, byteCount: range.count)
    }
  }

  public func finish() throws(BackendError) {
    // Weights that are gone have read as zeros.
    do { try MappedFile.requireWhole() } catch { throw BackendError(reading: error) }
  }
}
