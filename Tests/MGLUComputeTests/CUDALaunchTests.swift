import MGLUCompute
import Testing

/// What reaches the driver of a launch and of an allocation.
@Suite(.serialized) struct CUDALaunchTests {
  /// 24 bytes, with padding between members as in C.
  struct Values: BitwiseCopyable {
    var a: Double = 1.5
    var b: Int8 = 3
    var c: Int64 = -7
  }

  static func bytes<Value: BitwiseCopyable>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
  }

  let context: CUDAContext
  let stream: CUDAStream
  let kernel: CUDAFunction

  init() throws {
    context = try FakeDriver.context()
    stream = try CUDAStream(on: context)
    kernel = try CUDAModule(image: [0], name: "fake", on: context).function("kernel")
  }

  @Test func argumentsArriveInOrderAsTheyAre() throws {
    #expect(kernel.parameterSizes == FakeDriver.parameterSizes)
    let values = Values()
    try kernel.launch(
      grid: LaunchSize(132, 2), block: 256, sharedBytes: 100_000, on: stream,
      arguments: UInt64(0x1234_5678_9abc_def0), Int32(-5), values, Float(0.25), Int64(1) << 40)
    let launch = FakeDriver.lastLaunch.withLock { $0 }
    #expect(launch.grid == [132, 2, 1] && launch.block == [256, 1, 1])
    #expect(launch.sharedBytes == 100_000 && launch.attributes.isEmpty)
    let expected = [
      Self.bytes(UInt64(0x1234_5678_9abc_def0)), Self.bytes(Int32(-5)), [],
      Self.bytes(Float(0.25)), Self.bytes(Int64(1) << 40),
    ]
    for index in [0, 1, 3, 4] { #expect(launch.arguments[index] == expected[index]) }
    // Padding has no defined content.
    let members = launch.arguments[2]
    #expect(Array(members[0..<8]) == Self.bytes(values.a) && members[8] == 3)
    #expect(Array(members[16..<24]) == Self.bytes(values.c))
  }

  @Test func attributesAreThoseAskedFor() throws {
    func launch(cluster: LaunchSize?, programmatic: Bool) throws -> [[UInt32]] {
      try kernel.launch(
        grid: 8, block: 32, cluster: cluster, programmatic: programmatic, on: stream,
        arguments: UInt64(0), Int32(0), Values(), Float(0), Int64(0))
      return FakeDriver.lastLaunch.withLock { $0.attributes }
    }
    #expect(try launch(cluster: nil, programmatic: true) == [[6, 1, 0, 0]])
    #expect(try launch(cluster: LaunchSize(2, 4), programmatic: false) == [[4, 2, 4, 1]])
    #expect(try launch(cluster: 2, programmatic: true) == [[4, 2, 1, 1], [6, 1, 0, 0]])
  }

  @Test func refusedLaunchesSayWhatWasLaunched() throws {
    let error = #expect(throws: CUDAError.self) {
      try kernel.launch(
        grid: 8, block: 2048, on: stream,
        arguments: UInt64(0), Int32(0), Values(), Float(0), Int64(0))
    }
    #expect(error?.code == .call(4242))
    #expect(error?.message.contains("kernel (8 x 1 x 1 blocks of 2048 x 1 x 1 threads") == true)
  }

  /// An `Int` in place of an `Int32` would shift what follows.
  @Test func argumentsOfTheWrongSizeAreRefused() async {
    await #expect(processExitsWith: .failure) {
      let context = try FakeDriver.context()
      let kernel = try CUDAModule(image: [0], name: "fake", on: context).function("kernel")
      try kernel.launch(
        grid: 1, block: 1, on: CUDAStream(on: context),
        arguments: UInt64(0), 0, Values(), Float(0), Int64(0))
    }
    await #expect(processExitsWith: .failure) {
      let context = try FakeDriver.context()
      let kernel = try CUDAModule(image: [0], name: "fake", on: context).function("kernel")
      try kernel.launch(grid: 1, block: 1, on: CUDAStream(on: context), arguments: UInt64(0))
    }
  }

  @Test func arenasOwnDeviceMemoryThatTheHostCannotRead() async throws {
    let before = FakeDriver.freed.withLock { $0 }
    do {
      let arena = Arena(try DeviceBuffer(byteCount: 4096, on: context))
      #expect(!arena.isHostVisible && arena.isDeviceVisible && arena.byteCount == 4096)
      let tensor = arena.view(at: 256, [4, 8], .float32)
      #expect(tensor.deviceAddress == FakeDriver.address + 256)
      #expect(tensor[1..<3].deviceAddress == FakeDriver.address + 256 + 32)
    }
    #expect(FakeDriver.freed.withLock { $0 } == before + 1)
    await #expect(processExitsWith: .failure) {
      let arena = Arena(try DeviceBuffer(byteCount: 4096, on: FakeDriver.context()))
      _ = arena.view(at: 0, [1], .float32).array
    }
    let error = #expect(throws: CUDAError.self) {
      _ = try DeviceBuffer(byteCount: 1 << 41, on: context)
    }
    #expect(error?.message.contains("2048.00 GiB were asked for") == true)
  }
}
