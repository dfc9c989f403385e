import MGLUCompute
import Testing

/// How attention is laid out over a GPU.
@Suite struct AttentionLaunchTests {
  static let ampere = FusedLinearLaunchTests.devices[0]
  static let hopper = FusedLinearLaunchTests.devices[3]

  /// One reading of a key-value head serves its whole group of queries.
  @Test(arguments: [(8, 1), (8, 2), (8, 3), (8, 4), (2, 7), (4, 8), (2, 16), (1, 71)])
  func aGroupIsReadOnce(kvHeads: Int, group: Int) {
    for size in [32, 64, 96, 128] {
      let shape = AttentionShape(heads: kvHeads * group, kvHeads: kvHeads, headSize: size)
      let launch = AttentionLaunch.decoding(
        rows: 256, of: .bfloat16, shape, .bfloat16, on: Self.ampere)
      #expect(launch.kernel == "attention_decode" && launch.threads == 256)
      #expect(launch.cluster == nil && launch.mergedBlocks == 0)
      #expect(launch.options.contains("-DBITS=16") && launch.options.contains("-DBF16=1"))
      let queries = group == 71 ? 1 : min(group, 8)
      #expect(launch.options.contains("-DQUERIES=\(queries)"))
      #expect(launch.grid == LaunchSize(shape.heads / queries, 1, 256))
    }
  }

  /// Few rows are split over blocks that run together, many are not, and nothing else depends on how many
  /// there are.
  @Test func fewRowsAreSplit() {
    let shape = AttentionShape(heads: 32, kvHeads: 8, headSize: 64)
    func launch(_ rows: Int) -> AttentionLaunch {
      AttentionLaunch.decoding(rows: rows, of: .float16, shape, .float16, on: Self.hopper)
    }
    #expect(launch(1).grid == LaunchSize(8, 8, 1) && launch(1).threads == 256)
    #expect(launch(2).threads == 256 && launch(3).threads == 128)
    #expect(launch(1).cluster == LaunchSize(1, 8, 1) && launch(1).mergedBlocks == 0)
    #expect(launch(6).grid == LaunchSize(8, 8, 6))
    // A row's head has a multiprocessor to itself, as long as there are enough.
    for rows in [7, 16] {
      #expect(launch(rows).kernel == "attention_decode_hopper" && launch(rows).cluster == nil)
      #expect(launch(rows).grid == LaunchSize(8 * rows))
      #expect(launch(rows).team * 32 == launch(rows).threads && launch(rows).longest == 0)
    }
    for (rows, team) in [(17, 4), (33, 4), (34, 2), (256, 2)] {
      #expect(launch(rows).kernel == "attention_decode_hopper" && launch(rows).cluster == nil)
      #expect(launch(rows).grid == LaunchSize(Self.hopper.multiprocessorCount))
      #expect(launch(rows).team == team && launch(rows).longest == 32 * team)
    }
  }

  /// What the kernel counts in shared memory fits a block, with two stages at least, and its warps are
  /// whole teams.
  @Test(arguments: [32, 64, 96, 128], [10, 100])
  func ringsFit(size: Int, rows: Int) {
    for group in 1...8 {
      let shape = AttentionShape(heads: 8 * group, kvHeads: 8, headSize: size)
      let launch = AttentionLaunch.decoding(
        rows: rows, of: .float16, shape, .float16, on: Self.hopper)
      #expect(launch.kernel == "attention_decode_hopper")
      #expect(launch.sharedBytes <= Self.hopper.sharedBytesPerBlock)
      let warps = launch.threads / 32
      #expect(launch.sharedBytes > 2 * warps * 64 * size * 2)
      #expect(warps % launch.team == 0 && launch.team >= 2)
    }
  }

  /// GPUs before Hopper add splits up through memory.
  @Test func splitsOfOlderGPUsMeetInMemory() {
    let shape = AttentionShape(heads: 32, kvHeads: 8, headSize: 64)
    let older = AttentionLaunch.decoding(rows: 2, of: .float16, shape, .float16, on: Self.ampere)
    #expect(older.cluster == nil && older.mergedBlocks == 16)
    #expect(older.kernel == "attention_decode_splits")
  }

  /// What tensor cores are not made for goes through attention.cu: a row that decodes in as many splits,
  /// whatever its company.
  @Test(arguments: [
    (64, DataType.float32), (80, .float16), (30, .float16), (256, .bfloat16), (16, .float16),
  ])
  func otherHeadsAreComputedInFloat32(size: Int, type: DataType) {
    let shape = AttentionShape(heads: 4, kvHeads: 2, headSize: size)
    for rows in [1, 2, 31, 256] {
      for device in [Self.ampere, Self.hopper] {
        let decoding = AttentionLaunch.decoding(
          rows: rows, of: .float32, shape, type, on: device)
        #expect(decoding.kernel == "attention" && decoding.grid.y == 8)
        #expect((decoding.cluster == nil) == (decoding.mergedBlocks > 0))
        #expect(decoding.options.contains("-DROW_BITS=32") == (type != .float32))
        let prompts = AttentionLaunch.prompts(
          rows: rows, of: .float32, tiles: 1, shape, type, on: device)
        #expect(prompts.kernel == "attention" && prompts.grid.y == 1)
        #expect(prompts.cluster == nil && prompts.mergedBlocks == 0)
      }
    }
  }

  /// Blocks of every generation have the memory for stages of keys and values; on Hopper they share them
  /// between two heads, where there are blocks enough.
  @Test(arguments: [32, 64, 96, 128]) func promptsHaveRoom(size: Int) {
    let shape = AttentionShape(heads: 8, kvHeads: 2, headSize: size, rotarySize: size / 2)
    for (device, tiles) in FusedLinearLaunchTests.devices.flatMap({ [($0, 4), ($0, 33)] }) {
      let launch = AttentionLaunch.prompts(
        rows: 300, of: .float16, tiles: tiles, shape, .float16, on: device)
      #expect(launch.sharedBytes <= device.sharedBytesPerBlock)
      let isHopper = device.capability == CUDACapability(9, 0) && size % 64 == 0
      #expect(launch.kernel == (isHopper ? "attention_prompt_hopper" : "attention_prompt"))
      let isShared = isHopper && size == 64 && tiles == 33
      #expect(launch.grid == LaunchSize(isShared ? 4 : 8, tiles))
      #expect(launch.options.contains("-DHEADS=2") == isShared)
      // Queries are rotated when they are stored.
      #expect(!launch.options.contains { $0.contains("ROTARY") })
    }
    let storing = AttentionLaunch.storing(rows: 300, of: .float16, shape, .float16)
    #expect(storing.grid == 300 && storing.options.contains("-DROTARY=\(size / 2)"))
    #expect((32...256).contains(storing.threads) && storing.threads % 32 == 0)
  }
}
