// What benchmarks read.

extension CUDABackend {
  public var benchmarkTraits: BenchmarkTraits {
    // A part of a matrix would be read too fast, and the launch of a captured sequence counts little
    // among as many calls.
    BenchmarkTraits(
      coldByteCount: max(8 * context.device.l2ByteCount, 400 << 20), callsPerRound: 48,
      probeByteCount: 1 << 30)
  }

  public func read(_ tensors: [Tensor]) {
    let sum = scratch(.readSum, ofBytes: 4)
    for tensor in tensors {
      launch(
        "read", "read", grid: LaunchSize(4 * context.device.multiprocessorCount), block: 512,
        programmatic: false,
        arguments: tensor.deviceAddress, UInt64(tensor.byteCount / 16), sum)
    }
  }

  /// By events on the GPU.
  public func time(_ body: () -> Void) throws(BackendError) -> Duration {
    let events = attempt { () throws(CUDAError) in
      if stopwatch == nil {
        stopwatch = (start: try CUDAEvent(on: context), end: try CUDAEvent(on: context))
      }
      try stopwatch?.start.record(on: stream)
      return stopwatch
    }
    body()
    attempt { () throws(CUDAError) in try stopwatch?.end.record(on: stream) }
    try finish()
    guard let (start, end) = events ?? nil else { return .zero }
    do throws(CUDAError) { return .milliseconds(try end.milliseconds(since: start)) } catch {
      throw BackendError(error)
    }
  }
}
