import MGLUCompute

/// How fast a GPU reads its memory: the bound of every kernel that reads weights once.
package enum ReadBandwidth {
  /// Bytes in a second, the median of several passes over more than the second-level cache holds.
  ///
  /// The sum that the kernel makes is compared with what it must be, so that this is a check of the
  /// whole way too: compiler, cache, module, graph and launch.
  package static func measure(on context: CUDAContext, passes: Int = 15) throws(CUDAError) -> Double
  {
    let byteCount = min(try context.memory.free / 2, 4 << 30) / 4096 * 4096
    let data = try DeviceBuffer(byteCount: byteCount, on: context)
    let sum = try DeviceBuffer(byteCount: 4, on: context)
    let result = try PinnedBuffer(byteCount: 4, on: context)
    let stream = try CUDAStream(on: context)
    let value: UInt32 = 0x0102_0305
    try stream.fill(data.address, wordCount: byteCount / 4, with: value)

    let kernel = try context.module(source: "read").function("read")
    let block = 512
    let blocks = try kernel.blocksPerMultiprocessor(threads: block)
    let grid = LaunchSize(blocks * context.device.multiprocessorCount)
    // What a closure captures of noncopyable owners is their addresses; the owners outlive it.
    let (dataAddress, sumAddress) = (data.address, sum.address)
    let graph = try stream.capture { () throws(CUDAError) in
      try stream.fill(sumAddress, wordCount: 1, with: 0)
      try kernel.launch(
        grid: grid, block: LaunchSize(block), on: stream,
        arguments: dataAddress, UInt64(byteCount / 16), sumAddress)
    }
    let (start, end) = (try CUDAEvent(on: context), try CUDAEvent(on: context))
    var times: [Double] = []
    for _ in 0..<max(1, passes) {
      try start.record(on: stream)
      try graph.launch(on: stream)
      try end.record(on: stream)
      try end.synchronize()
      times.append(try end.milliseconds(since: start))
    }
    try stream.copy(
      from: sum.address, to: UnsafeMutableRawBufferPointer(start: result.base, count: 4))
    try stream.synchronize()
    let expected = value &* UInt32(truncatingIfNeeded: byteCount / 4)
    let found = result.base.load(as: UInt32.self)
    guard found == expected else {
      throw CUDAError(
        .kernelFault, "\(context.device.name) sums its memory to \(found), expected \(expected)")
    }
    return Double(byteCount) / (times.sorted()[times.count / 2] * 1e-3)
  }
}
