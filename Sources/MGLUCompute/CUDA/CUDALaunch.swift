import CMGLUKernels

/// A size in up to three dimensions, of blocks or threads.
public struct LaunchSize: Sendable, Equatable, ExpressibleByIntegerLiteral {
  /// Along each dimension.
  public let x, y, z: Int

  /// A size; dimensions that are left out are 1.
  public init(_ x: Int, _ y: Int = 1, _ z: Int = 1) { (self.x, self.y, self.z) = (x, y, z) }

  /// A size in one dimension.
  public init(integerLiteral value: Int) { self.init(value) }
}

extension CUDAFunction {
  /// Enqueues the kernel.
  ///
  ///     try kernel.launch(
  ///       grid: 132, block: 256, on: stream, arguments: weights.address, Int32(rows), Float(0.5))
  ///
  /// Arguments are plain values in the order of the kernel's parameters, passed as they are: an
  /// address as `UInt64`, `Int32`, `Int64`, `Float`, or a struct declared in C. A Swift `Int` has 8
  /// bytes. Nothing is allocated.
  ///
  /// - Parameters:
  ///   - grid: The number of blocks.
  ///   - block: The number of threads of each.
  ///   - sharedBytes: Dynamic shared memory; beyond 48 KiB see ``setDynamicSharedMemory(_:)``.
  ///   - cluster: Blocks that share their shared memory, a divisor of the grid (capability 9.0).
  ///   - cooperative: Whether all blocks must run together, because they wait for one another.
  ///   - programmatic: Whether the kernel may start before those enqueued earlier are done
  ///     (programmatic dependent launch, capability 9.0): it waits for them itself, with
  ///     `griddepcontrol.wait`, before it reads what they write.
  ///   - stream: The stream.
  ///   - arguments: The kernel's arguments.
  /// - Precondition: the arguments have the number and sizes of the kernel's parameters, which is
  ///   checked where the driver tells them (CUDA 12.4 and newer).
  public func launch<each Argument: BitwiseCopyable>(
    grid: LaunchSize, block: LaunchSize, sharedBytes: Int = 0, cluster: LaunchSize? = nil,
    cooperative: Bool = false, programmatic: Bool = false, on stream: CUDAStream,
    arguments: repeat each Argument
  ) throws(CUDAError) {
    var (bytes, count) = (0, 0)
    for size in repeat (MemoryLayout<each Argument>.size) {
      if let parameterSizes {
        precondition(
          count < parameterSizes.count && parameterSizes[count] == size,
          "argument \(count) of \(name) has \(size) bytes, its parameters have \(parameterSizes)")
      }
      bytes += (size + 15) / 16 * 16
      count += 1
    }
    precondition(
      parameterSizes.map { $0.count == count } ?? true, "\(name) takes more than \(count) arguments"
    )
    try module.context.makeCurrent()
    // Values in slots of 16 bytes, the widest alignment a parameter has, and where each lies.
    let result = withUnsafeTemporaryAllocation(byteCount: max(bytes, 1), alignment: 16) { values in
      withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: max(count, 1)) {
        pointers in
        var (offset, index) = (0, 0)
        func place<Value: BitwiseCopyable>(_ value: Value) {
          let slot = values.baseAddress! + offset
          slot.storeBytes(of: value, as: Value.self)
          pointers.initializeElement(at: index, to: slot)
          offset += (MemoryLayout<Value>.size + 15) / 16 * 16
          index += 1
        }
        repeat place(each arguments)
        return enqueue(
          pointers.baseAddress, grid: grid, block: block, sharedBytes: sharedBytes,
          cluster: cluster, cooperative: cooperative, programmatic: programmatic, on: stream)
      }
    }
    guard result == 0 else { throw launchError(result, grid, block, sharedBytes) }
  }

  private func enqueue(
    _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    grid: LaunchSize, block: LaunchSize, sharedBytes: Int, cluster: LaunchSize?,
    cooperative: Bool, programmatic: Bool, on stream: CUDAStream
  ) -> Int32 {
    var attributes = (cmglu_cuda_attribute(), cmglu_cuda_attribute(), cmglu_cuda_attribute())
    return withUnsafeMutableBytes(of: &attributes) { raw in
      let list = raw.assumingMemoryBound(to: cmglu_cuda_attribute.self)
      var count = 0
      if let cluster {
        list[count].id = UInt32(CMGLU_CUDA_CLUSTER_DIMENSION)
        list[count].value.words.0 = UInt32(clamping: cluster.x)
        list[count].value.words.1 = UInt32(clamping: cluster.y)
        list[count].value.words.2 = UInt32(clamping: cluster.z)
        count += 1
      }
      if cooperative {
        list[count].id = UInt32(CMGLU_CUDA_COOPERATIVE)
        list[count].value.words.0 = 1
        count += 1
      }
      // Kernels of older GPUs compile the wait to nothing, so plain order is right for them.
      if programmatic, module.context.device.capability.major >= 9 {
        list[count].id = UInt32(CMGLU_CUDA_PROGRAMMATIC_SERIALIZATION)
        list[count].value.words.0 = 1
        count += 1
      }
      var launch = cmglu_cuda_launch(
        grid_x: UInt32(clamping: grid.x), grid_y: UInt32(clamping: grid.y),
        grid_z: UInt32(clamping: grid.z), block_x: UInt32(clamping: block.x),
        block_y: UInt32(clamping: block.y), block_z: UInt32(clamping: block.z),
        shared_bytes: UInt32(clamping: sharedBytes), stream: stream.handle,
        attributes: count > 0 ? UnsafePointer(list.baseAddress) : nil,
        attribute_count: UInt32(count))
      return module.context.driver.functions.cuLaunchKernelEx(&launch, handle, arguments, nil)
    }
  }

  /// An error that tells what was launched.
  private func launchError(
    _ result: Int32, _ grid: LaunchSize, _ block: LaunchSize, _ sharedBytes: Int
  ) -> CUDAError {
    module.context.driver.error(
      result,
      "cuLaunchKernelEx of \(name) (\(grid.x) x \(grid.y) x \(grid.z) blocks of "
        + "\(block.x) x \(block.y) x \(block.z) threads, \(sharedBytes) bytes of shared memory)")
  }
}
