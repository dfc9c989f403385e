import MGLUCompute
import Testing

/// How fused_linear_prompt.cu is launched: no GPU is needed.
@Suite struct FusedLinearPromptLaunchTests {
  static let hopper = FusedLinearLaunchTests.devices[3]
  static let gatings: [Gating] =
    [.linear, .gated, .shared] + (1...16).map { .masked(count: $0, ablation: nil) }

  /// Every tile has a ring, and a block's memory holds it.
  @Test(arguments: gatings.indices)
  func everyTileFits(index: Int) {
    let gating = Self.gatings[index]
    let columns = FusedLinearPromptVariant.columns(of: gating)
    #expect(!columns.isEmpty && columns == columns.sorted(by: >))
    for columns in columns {
      let variant = FusedLinearPromptVariant(
        gating: gating, activation: .silu, type: .float16, columns: columns)
      #expect(variant.stages >= 3, "\(variant)")
      #expect(variant.sharedBytes <= Self.hopper.sharedBytesPerBlock, "\(variant)")
      // Tiles of x begin where its rows are swizzled anew; 16 columns are a step of the results.
      let sums = FusedLinearPromptVariant.sums(of: gating)
      #expect(columns % 16 == 0 && sums * columns <= 336, "\(variant)")
    }
  }

  private func launch(
    _ gating: Gating, _ rows: Int, _ width: Int, count: Int, isAccumulating: Bool = false
  ) -> FusedLinearPromptLaunch {
    FusedLinearPromptLaunch(
      gating: gating, activation: gating == .linear ? .identity : .silu, type: .float16,
      rows: rows, width: width, count: count, pieces: 1, isAccumulating: isAccumulating,
      on: Self.hopper)
  }

  /// Large tiles where x has many rows; where it has few, the multiprocessors are busy.
  @Test func workIsSpreadOverMultiprocessors() {
    let whole = launch(.linear, 2048, 8192, count: 2048, isAccumulating: true)
    #expect(whole.variant.columns == 256 && !whole.isSplit && whole.segment == 64)
    let split = launch(.linear, 2048, 8192, count: 512, isAccumulating: true)
    #expect(split.isSplit && split.grid >= 128)
    #expect(launch(.masked(count: 4, ablation: nil), 8192, 2048, count: 2048).variant.columns == 64)
    #expect(launch(.gated, 8192, 2048, count: 2048).variant.columns == 128)
    #expect(launch(.linear, 1, 1, count: 1).grid == 1)
  }

  /// What a row's sums depend on is the same for any number of rows, and each has its place.
  @Test func segmentsDoNotDependOnTheRowsOfX() {
    for width in [1, 4096, 4097, 8192, 120_000] {
      for isAccumulating in [false, true] {
        let one = launch(.linear, 2048, width, count: 1, isAccumulating: isAccumulating)
        #expect(one.segment == (isAccumulating && width > 4096 ? 64 : 0))
        for count in [2, 16, 100, 511, 2048, 5000] {
          let some = launch(.linear, 2048, width, count: count, isAccumulating: isAccumulating)
          #expect(some.segment == one.segment)
          #expect(some.segment > 0 || !some.isSplit)
          #expect(some.grid >= 1 && some.grid <= Self.hopper.multiprocessorCount)
          let tiles = some.variant.tiles(rows: 2048, count: count)
          #expect(some.turnBytes == (some.isSplit ? tiles * 8 : 0))
        }
      }
    }
  }

  @Test func onlyHopperHasIt() {
    #expect(
      FusedLinearLaunchTests.devices.map(FusedLinearPromptVariant.isAvailable)
        == [false, false, false, true, false, false])
  }
}
