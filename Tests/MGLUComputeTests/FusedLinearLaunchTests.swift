import MGLUCompute
import Testing

/// How fused_linear.cu is launched, on descriptions of GPUs: no GPU is needed.
@Suite struct FusedLinearLaunchTests {
  /// Multiprocessors, and KiB of shared memory of each and of a block, from NVIDIA's table of
  /// technical specifications for each compute capability.
  static let devices = [
    device(8, 0, multiprocessors: 108, perMultiprocessor: 164, perBlock: 163),
    device(8, 6, multiprocessors: 84, perMultiprocessor: 100, perBlock: 99),
    device(8, 9, multiprocessors: 128, perMultiprocessor: 100, perBlock: 99),
    device(9, 0, multiprocessors: 132, perMultiprocessor: 228, perBlock: 227),
    device(10, 0, multiprocessors: 148, perMultiprocessor: 228, perBlock: 227),
    device(12, 0, multiprocessors: 170, perMultiprocessor: 100, perBlock: 99),
  ]

  private static func device(
    _ major: Int, _ minor: Int, multiprocessors: Int, perMultiprocessor: Int, perBlock: Int
  ) -> CUDADevice {
    CUDADevice(
      describing: "sm_\(major)\(minor)", capability: CUDACapability(major, minor),
      multiprocessors: multiprocessors, sharedBytesPerBlock: perBlock << 10,
      sharedBytesPerMultiprocessor: perMultiprocessor << 10)
  }

  /// Whatever is asked for is computed, in passes that fit, by blocks that fit.
  @Test(arguments: devices.indices)
  func everythingFitsOrIsStaged(index: Int) {
    let device = Self.devices[index]
    for (masks, planes) in (0...16).map({ ($0, 1) }) + [(0, 2)] {
      for (type, pieces) in [
        (WeightType.float16, 1), (.float16, 2), (.bfloat16, 1), (.bfloat16, 3), (.int8, 2),
      ] {
        for width in [1, 577, 2048, 4096, 15_000, 28_672, 120_000, 1 << 20] {
          for rows in [1, 2048, 8192, 131_072] {
            let (most, isStaged) = FusedLinearVariant.pass(
              masks: masks, planes: planes, type: type, width: width, pieces: pieces, rows: rows,
              on: device)
            for batch in 1...most {
              let launch = FusedLinearVariant(
                masks: masks, planes: planes, type: type, batch: batch, pieces: pieces,
                width: width
              ).launch(rows: rows, isStaged: isStaged, on: device)
              // In a chain too.
              #expect(
                FusedLinearVariant(
                  masks: masks, planes: planes, type: type, batch: batch, pieces: pieces,
                  width: width
                ).launch(rows: rows, isStaged: isStaged, isChained: true, on: device) != nil)
              if let launch, batch * pieces <= FusedLinearVariant.mostColumns,
                fits(
                  launch, rows: rows, width: width,
                  leastStages: isStaged && batch == 1 ? 1 : 2, device)
              {
                continue
              }
              Issue.record(
                """
                \(device.name): \(masks) masks, \(planes) planes, \(batch) x \(pieces) x \(width), \
                \(rows) rows, staged: \(isStaged), \(String(describing: launch))
                """)
            }
          }
        }
      }
    }
  }

  /// Steps of many rows on Hopper: whatever is asked for fits a block, and blocks are enough for all of it.
  @Test func batchesFit() {
    let hopper = Self.devices[3]
    #expect(FusedLinearBatchLaunch.isAvailable(on: hopper))
    #expect(!FusedLinearBatchLaunch.isAvailable(on: Self.devices[4]))
    for gating in [Gating.linear, .gated, .shared]
      + (1...16).map({ .masked(count: $0, ablation: nil) })
    {
      for (type, pieces) in [
        (WeightType.float16, 1), (.float16, 2), (.bfloat16, 3), (.int8, 1), (.int8, 2),
      ] {
        for (rows, width) in [(1, 1), (37, 577), (2048, 8192), (3072, 2048), (131_072, 4096)] {
          for batch in [1, 2, 17, 64, 100, 256] {
            let launch = FusedLinearBatchLaunch(
              gating: gating, activation: .silu, type: type, output: .float32, rows: rows,
              width: width, batch: batch, pieces: pieces, on: hopper)
            let cluster =
              [2, 4].first { size in
                ["-DCLUSTER", "-DSPLIT"].contains { launch.options.contains("\($0)=\(size)") }
              } ?? 1
            #expect(
              launch.sharedBytes <= hopper.sharedBytesPerBlock && launch.stages >= 3
                && launch.grid % cluster == 0 && launch.grid >= cluster
                && (cluster > 1 || launch.grid <= hopper.multiprocessorCount),
              "\(launch)")
          }
        }
      }
    }
  }

  /// Interleaved rows go to warpgroups, plain ones of integers or in pieces to warps, and staged ones to
  /// whichever are faster.
  @Test func columnsOfRowsDecide() {
    func launch(
      _ input: FusedLinearBatchLaunch.Input, _ type: WeightType = .float16, pieces: Int = 1,
      batch: Int = 64
    ) -> FusedLinearBatchLaunch {
      FusedLinearBatchLaunch(
        gating: .linear, activation: .identity, type: type, output: .float32, input: input,
        rows: 2048, width: 8192, batch: batch, pieces: pieces, on: Self.devices[3])
    }
    for batch in [17, 64, 256] {
      let wide = launch(.rows(.interleaved), batch: batch)
      #expect(wide.kernel == "fused_linear_batch_wide" && wide.order == .interleaved)
      let narrow = launch(.staged, .int8, batch: batch)
      #expect(narrow.kernel == "fused_linear_batch" && narrow.order == .plain)
      #expect(launch(.staged, pieces: 2, batch: batch).order == .plain)
    }
    #expect(launch(.staged, batch: 8).order == .plain)
    #expect(launch(.staged, batch: 256).order == .interleaved)
    #expect(!FusedLinearBatchLaunch.interleaves(rows: 16))
    #expect(FusedLinearBatchLaunch.interleaves(rows: 17))
  }

  /// As many blocks as an H100 has room for, and no more than two columns of them: what was measured.
  @Test(arguments: [
    (3072, 2048, 8, 96), (2048, 2048, 64, 128), (2048, 8192, 64, 128), (2048, 8192, 256, 128),
  ])
  func batchesFillMultiprocessors(rows: Int, width: Int, batch: Int, grid: Int) {
    let launch = FusedLinearBatchLaunch(
      gating: .linear, activation: .identity, type: .float16, output: .float32,
      input: .rows(.plain), rows: rows, width: width, batch: batch, pieces: 1,
      on: Self.devices[3])
    #expect(launch.grid == grid, "\(launch)")
  }

  private func fits(
    _ launch: FusedLinearLaunch, rows: Int, width: Int, leastStages: Int, _ device: CUDADevice
  ) -> Bool {
    // Cells that a warp reads: no ring is longer.
    let (cells, tiles) = ((width + 63) / 64, (rows + 15) / 16)
    let own = (cells + 7) / 8 * ((tiles + launch.grid - 1) / launch.grid)
    let residents = launch.grid > device.multiprocessorCount ? 2 : 1
    return launch.sharedBytes <= device.sharedBytesPerBlock
      && launch.stages >= min(leastStages, own)
      // Each block has 1 KiB of the system's beside its own.
      && residents * (launch.sharedBytes + 1024) <= device.sharedBytesPerMultiprocessor
      && launch.grid >= 1 && launch.grid <= min((rows + 15) / 16, 2 * device.multiprocessorCount)
  }

  /// On an H100 the shapes of the paper are not staged, at any batch up to 8, and a single row's ring
  /// is deep: what keeps its memory busy.
  @Test func theShapesOfThePaperAreNotStaged() throws {
    for (rows, width) in [(8192, 2048), (14_336, 4096)] {
      for masks in [1, 2, 4, 8] {
        let pass = FusedLinearVariant.pass(
          masks: masks, planes: 1, type: .float16, width: width, pieces: 1, rows: rows,
          on: Self.devices[3])
        #expect(!pass.isStaged && pass.rows >= 8, "\(rows) x \(width), \(masks) masks")
        let launch = try #require(
          FusedLinearVariant(
            masks: masks, planes: 1, type: .float16, batch: 1, pieces: 1, width: width
          ).launch(rows: rows, on: Self.devices[3]))
        #expect(launch.stages >= 3)
      }
    }
  }

  /// Whatever the shape, a block's memory holds what it is launched with.
  @Test func layersInOneKernelHaveRoom() throws {
    let hopper = Self.devices[3]
    var queries: Set<Int> = []
    for (heads, kvHeads, capacity) in [
      (8, 8, 2048), (16, 8, 64), (32, 8, 2048), (24, 8, 131_072), (64, 16, 4096),
    ] {
      for (hidden, intermediate) in [(576, 1536), (1024, 8192), (2048, 8192), (4096, 14_336)] {
        for (layers, pieces) in (1...48).flatMap({ layers in (1...3).map { (layers, $0) } }) {
          for (masks, planes) in [(0, 2), (0, 1), (1, 1), (4, 1), (8, 1), (16, 1)] {
            guard
              let made = DecodeLaunch(
                layers: layers, hidden: hidden, intermediate: intermediate,
                attention: AttentionShape(heads: heads, kvHeads: kvHeads, headSize: 64),
                blocksPerSequence: (capacity + 63) / 64,
                cacheType: pieces == 1 ? .bfloat16 : .float32,
                masks: masks, planes: planes, type: .bfloat16, pieces: pieces, on: hopper)
            else { continue }
            let option = try #require(made.options.last { $0.hasPrefix("-DQUERIES=") })
            let count = try #require(Int(option.dropFirst("-DQUERIES=".count)))
            queries.insert(count)
            let attending = DecodeLaunch.attendingBytes(
              queries: count, headSize: 64, cacheType: pieces == 1 ? .bfloat16 : .float32)
            let needed = made.sharedBytes + attending
            #expect(needed <= hopper.sharedBytesPerBlock, "\(made)")
          }
        }
      }
    }
    #expect(queries == [1, 2, 3, 4])
  }

  /// All layers in one kernel: for any unit on an H100, with a ring that holds what the memory reads
  /// while blocks wait, in the shared memory that there is.
  @Test func layersOfThePaperAreOneKernelOnHopper() throws {
    func launch(_ masks: Int, _ planes: Int, pieces: Int = 2, on device: CUDADevice)
      -> DecodeLaunch?
    {
      DecodeLaunch(
        layers: 16, hidden: 2048, intermediate: 8192,
        attention: AttentionShape(heads: 32, kvHeads: 8, headSize: 64), blocksPerSequence: 32,
        cacheType: .float32, masks: masks, planes: planes, type: .float16, pieces: pieces,
        on: device)
    }
    let hopper = Self.devices[3]
    for (masks, planes) in (0...16).map({ ($0, 1) }) + [(0, 2)] {
      let made = try #require(launch(masks, planes, on: hopper), "\(masks) masks")
      #expect(made.stages >= 3 && made.grid == hopper.multiprocessorCount)
      let attending = DecodeLaunch.attendingBytes(
        queries: 2, headSize: 64, cacheType: .float32)
      #expect(made.sharedBytes + attending <= hopper.sharedBytesPerBlock)
    }
    // What the input, sums and queries leave of 227 KiB: four planes for every cell of 2,560 bytes.
    #expect(try #require(launch(4, 1, on: hopper)).ringBytes >> 10 == 178)
    for device in Self.devices where device.capability != hopper.capability {
      #expect(launch(4, 1, on: device) == nil, "\(device.name)")
    }
  }
}
