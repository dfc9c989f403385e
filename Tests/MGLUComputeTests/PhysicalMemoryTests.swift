import MGLUCompute
import Testing

@Suite struct PhysicalMemoryTests {
  private static let gibibyte = 1 << 30

  /// A device's free memory is what counts where there is one, else the machine's.
  @Test func memoryIsRequiredWhereItIsUsed() throws {
    let device = (free: 10 * Self.gibibyte, total: 80 * Self.gibibyte)
    func require(_ gibibytes: Double, on device: (free: Int, total: Int)?) throws(MemoryError) {
      try PhysicalMemory.require(
        gibibytes * 0x1p30, on: device, for: "the memory of 8 texts", remedy: "choose fewer")
    }
    try require(9.5, on: device)
    let error = #expect(throws: MemoryError.self) { try require(9.6, on: device) }
    let message = try #require(error?.message)
    for words in ["the memory of 8 texts takes 9.6 GiB", "10.0 GiB of 80.0 GiB free"] {
      #expect(message.contains(words), "\(message)")
    }
    #expect(error?.remedy == "choose fewer")
    let machine = Double(PhysicalMemory.byteCount) * 0x1p-30
    try require(machine / 2, on: nil)
    #expect(throws: MemoryError.self) { try require(machine, on: nil) }
    #expect(try CPUBackend(threads: 1).deviceMemory == nil)
  }
}
