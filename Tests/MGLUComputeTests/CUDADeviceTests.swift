import MGLUBenchmark
import MGLUCompute
import Testing

private let hasGPU = (try? CUDADevice.all.isEmpty) == false

/// The whole way on a GPU: memory, copies, kernels, graphs, errors.
@Suite(.enabled(if: hasGPU, "this machine has no NVIDIA GPU"), .serialized)
struct CUDADeviceTests {
  let context: CUDAContext
  let stream: CUDAStream

  init() throws {
    context = try CUDAContext(CUDADevice.find(ordinal: 0))
    stream = try CUDAStream(on: context)
  }

  /// The sum of 32-bit words that the kernel should find.
  private func sum(_ words: [UInt32]) -> UInt32 { words.reduce(0, &+) }

  private func word(at address: UInt64) throws -> UInt32 {
    var word: UInt32 = 0
    try withUnsafeMutableBytes(of: &word) { try stream.copy(from: address, to: $0) }
    try stream.synchronize()
    return word
  }

  @Test func copiesAndFillsArrive() throws {
    let words = (0..<1000).map { UInt32($0) &* 2_654_435_761 }
    let a = try DeviceBuffer(byteCount: 4000, on: context)
    let b = try DeviceBuffer(byteCount: 4000, on: context)
    let pinned = try PinnedBuffer(byteCount: 4000, on: context)
    try words.withUnsafeBytes { try stream.copy(from: $0, to: a.address) }
    try stream.copy(from: a.address, to: b.address, byteCount: 4000)
    try stream.fill(b.address, byteCount: 4, with: 0xab)
    try stream.fill(b.address + 4, wordCount: 1, with: 0x0102_0304)
    // A copy to pinned memory by its address on the GPU: it is the same.
    try stream.copy(from: b.address, to: pinned.address, byteCount: 4000)
    try stream.synchronize()
    let found = UnsafeRawBufferPointer(start: pinned.base, count: 4000).bindMemory(to: UInt32.self)
    #expect(Array(found) == [0xabab_abab, 0x0102_0304] + words[2...])
  }

  /// Plain, programmatic, in a cluster, and all of them in a graph that runs twice.
  @Test func kernelsLaunchEveryWay() throws {
    let words = (0..<40_000).map { UInt32($0) &* 2_246_822_519 }
    let data = try DeviceBuffer(byteCount: 4 * words.count, on: context)
    let result = try DeviceBuffer(byteCount: 4, on: context)
    try words.withUnsafeBytes { try stream.copy(from: $0, to: data.address) }
    let kernel = try context.module(source: "read", options: ["-DUNROLL=4"]).function("read")
    #expect(kernel.registers > 0 && kernel.localBytes == 0)
    #expect(kernel.parameterSizes ?? [8, 8, 8] == [8, 8, 8])
    #expect(try kernel.blocksPerMultiprocessor(threads: 512) > 0)
    let (dataAddress, resultAddress) = (data.address, result.address)
    func launch(_ programmatic: Bool, _ cluster: LaunchSize?) throws(CUDAError) {
      try kernel.launch(
        grid: 8, block: 256, cluster: cluster, programmatic: programmatic, on: stream,
        arguments: dataAddress, UInt64(words.count / 4), resultAddress)
    }
    let isHopper = context.device.capability.major >= 9
    try stream.fill(resultAddress, wordCount: 1, with: 0)
    try launch(false, nil)
    #expect(try word(at: resultAddress) == sum(words))
    try launch(true, isHopper ? 2 : nil)
    #expect(try word(at: resultAddress) == 2 &* sum(words))
    let graph = try stream.capture { () throws(CUDAError) in
      for _ in 0..<3 { try launch(true, nil) }
    }
    #expect(try word(at: resultAddress) == 2 &* sum(words), "a capture runs nothing")
    try graph.upload(on: stream)
    for _ in 0..<2 { try graph.launch(on: stream) }
    #expect(try word(at: resultAddress) == 8 &* sum(words))
  }

  @Test func structsAreArgumentsByValue() throws {
    let source = KernelSource(
      name: "arguments",
      text: """
        struct values { float a; int b; long long c; char d; };
        extern "C" __global__ void add(double *out, int i, values v, float f, long long l) {
          *out = i + v.a + v.b + v.c + v.d + f + l;
        }
        """)
    struct Values: BitwiseCopyable {
      var a: Float, b: Int32, c: Int64, d: Int8
      var padding: (Int8, Int8, Int8, Int8, Int8, Int8, Int8) = (0, 0, 0, 0, 0, 0, 0)
    }
    let out = try PinnedBuffer(byteCount: 8, on: context)
    let kernel = try context.module(source, cache: KernelCache(folder: nil)).function("add")
    try kernel.launch(
      grid: 1, block: 1, on: stream,
      arguments: out.address, Int32(1), Values(a: 0.5, b: 10, c: 100, d: 5), Float(0.25),
      Int64(1000))
    try stream.synchronize()
    #expect(out.base.load(as: Double.self) == 1116.75)
  }

  @Test func errorsSayWhatHappened() throws {
    let total = context.device.memoryByteCount
    let memory = #expect(throws: CUDAError.self) {
      _ = try DeviceBuffer(byteCount: 2 * total, on: context)
    }
    #expect(memory?.code == .outOfMemory && memory?.message.contains("GiB are free") == true)
    let module = try context.module(source: "read")
    let absent = #expect(throws: CUDAError.self) { try module.function("absent") }
    #expect(absent?.code == .unknownKernel && absent?.message.contains("absent") == true)
    let kernel = try module.function("read")
    let shared = #expect(throws: CUDAError.self) { try kernel.setDynamicSharedMemory(1 << 30) }
    #expect(shared?.message.contains("CUDA_ERROR_INVALID_VALUE") == true)
    let image = #expect(throws: CUDAError.self) {
      _ = try CUDAModule(image: [1, 2, 3], name: "junk", on: context)
    }
    #expect(image?.code == .invalidImage, "\(String(describing: image))")
    let ordinal = CUDADevice.absent(99, among: [context.device.name])
    #expect(throws: CUDAError.self) { try CUDADevice.find(ordinal: 99) }
    #expect(ordinal.message.contains(context.device.name))
    // A capture that fails leaves the stream usable.
    #expect(throws: CUDAError.self) {
      _ = try stream.capture { () throws(CUDAError) in throw ordinal }
    }
    try stream.synchronize()
  }

  /// Work from a thread that never had a context.
  @Test func otherThreadsGetTheContext() async throws {
    let address = try await Task.detached { [context, stream] in
      let buffer = try DeviceBuffer(byteCount: 1 << 20, on: context)
      try stream.fill(buffer.address, byteCount: 1 << 20, with: 1)
      try stream.synchronize()
      return buffer.address
    }.value
    #expect(address != 0)
  }

  @Test func readBandwidthIsPlausible() throws {
    let measured = try ReadBandwidth.measure(on: context, passes: 5)
    // No GPU reads faster than its memory's clock allows, and none that runs this at a tenth of it.
    guard let peak = context.device.peakBytesPerSecond else { return }
    #expect(measured > 0.1 * peak && measured < 1.05 * peak)
  }
}
