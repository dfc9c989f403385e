import Synchronization

// What benchmarks read.

extension CPUBackend {
  /// In parts that every thread takes in turn, in one job.
  public func read(_ tensors: [Tensor]) {
    let size = 1 << 18
    let parts = tensors.map(\.bytes).flatMap { buffer in
      stride(from: 0, to: buffer.count, by: size).map {
        UnsafeMutableRawBufferPointer(rebasing: buffer[$0..<min($0 + size, buffer.count)])
      }
    }
    let total = Atomic<UInt64>(0)
    pool.forEach(parts.count) { index, _ in
      guard let base = parts[index].baseAddress else { return }
      total.wrappingAdd(
        fusedLinearKernels.read(base, Int64(parts[index].count)), ordering: .relaxed)
    }
  }
}
