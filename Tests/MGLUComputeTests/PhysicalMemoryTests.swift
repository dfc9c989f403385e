import MGLUCompute
import MGLUTestSupport
import Testing

@Suite struct PhysicalMemoryTests {
  /// The least of a group's limit and of those above it, as a container and a machine see them: of memory,
  /// else of processors.
  @Test(
    arguments: [
      (
        true, "0::/a/b\n",
        ["a/b/memory.max": "max\n", "a/memory.max": "4096\n", "memory.max": "8192\n"], 4096
      ),
      (true, "0::/elsewhere\n", ["memory.max": "1000000\n"], 1_000_000),
      (true, "0::/\n", ["memory.max": "max\n"], nil), (true, "", [:], nil),
      (true, "nonsense\n1:cpu:/\n", [:], nil),
      (
        true, "4:memory:/docker/x\n0::/\n",
        [
          "memory/docker/x/memory.limit_in_bytes": "77\n",
          "memory/memory.limit_in_bytes": "9223372036854771712\n",
        ], 77
      ),
      (true, "9:cpu,memory:/\n", ["memory/memory.limit_in_bytes": "12\n"], 12),
      (false, "0::/a\n", ["a/cpu.max": "150000 100000\n", "cpu.max": "max 100000\n"], 2),
      (false, "0::/a\n", ["a/cpu.max": "max 100000\n"], nil), (false, "0::/\n", [:], nil),
      (false, "0::/a\n", ["a/cpu.max": "800000 100000\n", "cpu.max": "5000 100000\n"], 1),
      (
        false, "3:cpu,cpuacct:/a\n",
        ["cpu/a/cpu.cfs_quota_us": "400000\n", "cpu/a/cpu.cfs_period_us": "100000\n"], 4
      ),
      (
        false, "3:cpu:/\n", ["cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"],
        nil
      ),
    ] as [(Bool, String, [String: String], Int?)])
  func limitsOfControlGroupsAreFound(
    isMemory: Bool, membership: String, files: [String: String], expected: Int?
  ) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Array(membership.utf8), to: folder + "/self")
      for (name, text) in files {
        try Folder.create(Folder.parent(of: "\(folder)/cgroup/\(name)"))
        try AtomicFile.write(Array(text.utf8), to: "\(folder)/cgroup/\(name)")
      }
      let group = ControlGroup(root: folder + "/cgroup", membership: folder + "/self")
      #expect((isMemory ? group.memoryByteCount : group.processorCount) == expected)
    }
  }

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
