// Memory of the GPU, and memory of this machine that the GPU reaches.

extension CUDABackend {
  public var deviceMemory: (free: Int, total: Int)? {
    attempt { () throws(CUDAError) in try context.memory }
  }

  public func allocate<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result {
    try lay(describe, isShared: false) { byteCount in
      self.attempt { () throws(CUDAError) in
        let buffer = try DeviceBuffer(byteCount: byteCount, on: self.context)
        try self.stream.fill(buffer.address, byteCount: byteCount, with: 0)
        return CUDAMemory(buffer)
      }
    }
  }

  public func allocateShared<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result
  ) throws(E) -> Result {
    try lay(describe, isShared: true) { byteCount in
      self.attempt { () throws(CUDAError) in
        CUDAMemory(try PinnedBuffer(byteCount: byteCount, on: self.context))
      }
    }
  }

  /// Measures, allocates, lays out. Where memory is lacking a substitute takes its place, which the
  /// GPU never sees: ``attempt(_:)`` enqueues nothing after a failure.
  private func lay<Result, E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Result, isShared: Bool,
    in memory: (Int) -> CUDAMemory?
  ) throws(E) -> Result {
    var measuring = ArenaLayout()
    _ = try describe(&measuring)
    let byteCount = measuring.byteCount
    let arena =
      Arena(
        memory(byteCount)
          ?? CUDAMemory(substituteOf: byteCount, isHostVisible: isShared))
    var layout = ArenaLayout(over: arena)
    return try describe(&layout)
  }

  public func toDevice(_ tensor: Tensor) -> Tensor {
    if tensor.arena.isDeviceVisible { return tensor }
    let copy = allocate { $0.tensor(tensor.shape, tensor.dataType) }
    attempt { () throws(CUDAError) in
      try stream.copy(from: UnsafeRawBufferPointer(tensor.bytes), to: copy.deviceAddress)
    }
    return copy
  }

  public func clear(_ tensor: Tensor) {
    attempt { () throws(CUDAError) in
      try stream.fill(tensor.deviceAddress, byteCount: tensor.byteCount, with: 0)
    }
  }

  public func copy(_ source: Tensor, into target: Tensor) {
    precondition(source.byteCount == target.byteCount, "copy between tensors of different sizes")
    guard source.arena.isDeviceVisible, target.arena.isDeviceVisible else {
      return copyThroughHost(source, into: target)
    }
    let words = source.byteCount / 4
    guard source.byteCount % 4 == 0, words > 0 else {
      attempt { () throws(CUDAError) in
        try stream.copy(
          from: source.deviceAddress, to: target.deviceAddress, byteCount: source.byteCount)
      }
      return
    }
    launch(
      "tokens", "copy_words", grid: LaunchSize(min(1024, (words + 255) / 256)), block: 256,
      arguments: source.deviceAddress, target.deviceAddress, UInt64(words))
    // Positions are read by kernels before they wait for their input.
    orderNext()
  }

  public func gather(_ source: Tensor, at indices: Tensor, into target: Tensor) {
    let words = target.byteCount / max(1, target.rows) / 4
    precondition(
      indices.count == target.rows && source.byteCount / max(1, source.rows) / 4 == words,
      "rows of \(source.shape) for \(target.shape)")
    guard words > 0, target.rows > 0 else { return }
    launch(
      "tokens", "gather_rows", grid: LaunchSize(target.rows), block: 256,
      arguments: source.deviceAddress, indices.deviceAddress, target.deviceAddress, UInt64(words))
    // Tokens are read by kernels before they wait for their input.
    orderNext()
  }

  /// Copies from or to memory of the host that the GPU does not reach.
  private func copyThroughHost(_ source: Tensor, into target: Tensor) {
    attempt { () throws(CUDAError) in
      switch (source.arena.isDeviceVisible, target.arena.isDeviceVisible) {
      case (false, true):
        try stream.copy(
          from: UnsafeRawBufferPointer(source.bytes), to: target.deviceAddress)
      case (true, false): try stream.copy(from: source.deviceAddress, to: target.bytes)
      default: host.copy(source, into: target)
      }
    }
    orderNext()
  }

  /// What operations need memory for beside their tensors.
  enum Scratch {
    case stagedInput, partialAttention, counters, exchange
    case products, partialColumns, partialSums, attentionDelta, readSum
  }

  /// Memory of at least `count` bytes, zero at first: the same at every call until one needs more.
  func scratch(_ purpose: Scratch, ofBytes count: Int) -> UInt64 {
    if let last = scratches[purpose]?.last, last.byteCount >= count { return last.address }
    // Zeroed once and now: on `stream` a recording would zero it, at each of its launches.
    let memory =
      attempt { () throws(CUDAError) in
        let buffer = try DeviceBuffer(byteCount: count, on: context)
        try setup.fill(buffer.address, byteCount: count, with: 0)
        try setup.synchronize()
        return CUDAMemory(buffer)
      } ?? CUDAMemory(substituteOf: count, isHostVisible: false)
    scratches[purpose, default: []].append(memory)
    return memory.address
  }

  public func synchronize() { attempt { () throws(CUDAError) in try stream.synchronize() } }

  public func finish() throws(BackendError) {
    synchronize()
    if let failure { throw BackendError(failure) }
    do { try MappedFile.requireWhole() } catch { throw BackendError(reading: error) }
  }

  public func capture(_ body: @escaping () -> Void) -> () -> Void {
    let graph = attempt { () throws(CUDAError) in
      // What a recording begins with follows all that was before, and what comes after it too.
      orderNext()
      let graph = try stream.capture { () throws(CUDAError) in
        body()
        if let failure { throw failure }
      }
      orderNext()
      try graph.upload(on: stream)
      return graph
    }
    return { [unowned self] in
      attempt { () throws(CUDAError) in try graph?.launch(on: stream) }
    }
  }
}
