import MGLUCompute
import MGLUTestSupport
import Testing

/// Whether a missing NVRTC fails the tests: in CI, where NVIDIA makes one for the system.
private let needsNVRTC: Bool = {
  #if os(Linux)
    Environment.value("CI") == "true"
  #else
    false
  #endif
}()

/// Every embedded kernel compiles, without a GPU. A variant whose compilation is in the record, from the same
/// text, options and compiler, is not compiled again, but for a sixteenth of them.
@Suite(
  .enabled(
    if: needsNVRTC || (try? NVRTC.shared()) != nil,
    "NVRTC is absent: scripts/setup-nvrtc installs it on Linux, MGLU_NVRTC names it"))
struct KernelCompilationTests {
  /// The variants that are compiled although the record has them: a sixteenth, another one with every
  /// change of a kernel.
  static let checked: Set<String> = {
    guard let compiler = try? NVRTC.shared() else { return [] }
    let keys = KernelVariants.all.map { KernelUsageRecord.key($0, compiler: compiler) }
    func part(_ text: String) -> Int {
      Int(text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 } >> 28)
    }
    let turn = part(keys.joined())
    return Set(keys.filter { part($0) == turn })
  }()

  /// What ptxas says of a variant, or has said of it before.
  static func usages(of variant: KernelVariant) throws -> [KernelUsage] {
    let compiler = try NVRTC.shared()
    let key = KernelUsageRecord.key(variant, compiler: compiler)
    let known = KernelUsageRecord.entries[key]
    let mode = Environment.value("MGLU_TEST_KERNELS") ?? ""
    if let known, mode.isEmpty, !checked.contains(key) { return known }
    let program = try compiler.compile(
      variant.source, for: variant.architecture,
      options: variant.options + ["--ptxas-options=-v"])
    // A cubin is an ELF file.
    #expect(program.image.starts(with: [0x7f] + Array("ELF".utf8)))
    #expect(!program.log.contains("warning"), "\(program.log)")
    // That ptxas cannot keep products of wgmma under way: C7510 and its like.
    #expect(!program.log.contains("serialized"), "\(program.log)")
    let usages = KernelUsage.parse(program.log)
    if mode == "record" {
      try KernelUsageRecord.append(key, usages)
    } else if let known {
      #expect(known == usages, "the record differs: make kernels writes it again")
    }
    return usages
  }

  @Test(arguments: KernelVariants.all)
  func everyKernelCompilesAndSpillsNothing(variant: KernelVariant) throws {
    let usages = try Self.usages(of: variant)
    #expect(!usages.isEmpty)
    for usage in usages {
      #expect(usage.registers > 0, "\(usage)")
      let maySpill = KernelVariants.mayUseLocalMemory.contains { kernel, options in
        usage.kernel.hasPrefix(kernel) && options.allSatisfy(variant.options.contains)
      }
      if maySpill { continue }
      #expect(!usage.usesLocalMemory, "\(usage)")
    }
  }

  @Test(arguments: [
    [], [KernelUsage(kernel: "a", registers: 255, sharedBytes: 1024)],
    [
      KernelUsage(
        kernel: "a_b", registers: 1, stackBytes: 2, spillStoreBytes: 3, spillLoadBytes: 4),
      KernelUsage(kernel: "c"),
    ],
  ])
  func linesOfTheRecordAreReadAsTheyAreWritten(usages: [KernelUsage]) throws {
    let line = KernelUsageRecord.line("key-sm_90a-0", usages)
    let entry = try #require(KernelUsageRecord.parse(line))
    #expect(entry.key == "key-sm_90a-0" && entry.usages == usages)
    for damaged in ["", "key", "key a:1", "key a:1:2:3:4:x", line + ":7"] {
      #expect(usages.isEmpty && damaged == line + ":7" || KernelUsageRecord.parse(damaged) == nil)
    }
  }

  /// Whatever a compilation depends on has an entry of its own.
  @Test func anotherCompilationIsNotInTheRecord() throws {
    let compiler = try NVRTC.shared()
    func key(_ text: String, _ options: [String], _ architecture: Int) -> String {
      KernelUsageRecord.key(
        KernelVariant(
          source: KernelSource(name: "a", text: text), options: options,
          architecture: KernelVariants.architectures[architecture]), compiler: compiler)
    }
    let keys = [
      key("b", ["-Dc"], 0), key("b ", ["-Dc"], 0), key("b", ["-Dd"], 0), key("b", ["-Dc"], 1),
    ]
    #expect(Set(keys).count == 4 && keys[0] == key("b", ["-Dc"], 0))
  }

  /// What a launch of decode.cu leaves of a block's memory is what the compiler takes.
  @Test(arguments: [(1, 64), (2, 64), (3, 32), (4, 64), (4, 32)], [DataType.float16, .float32])
  func decodingTakesTheSharedMemoryThatIsLeftForIt(
    shape: (queries: Int, headSize: Int), cacheType: DataType
  ) throws {
    let options = [
      "-DUNIT_MASKS=0", "-DUNIT_PLANES=1", "-DBF16=0", "-DHEAD=\(shape.headSize)",
      "-DQUERIES=\(shape.queries)", "-DBITS=\(cacheType.byteCount * 8)",
    ]
    let usages = try Self.usages(
      of: KernelVariant(
        source: .named("decode"), options: options, architecture: KernelVariants.architectures[1]))
    let usage = try #require(usages.first)
    let expected = DecodeLaunch.attendingBytes(
      queries: shape.queries, headSize: shape.headSize, cacheType: cacheType)
    #expect(usage.sharedBytes == expected)
  }

  /// The check of spills can fail: a kernel with more live values than registers.
  @Test func spillsAreSeen() throws {
    let values = (0..<64).map { "float a\($0) = p[\($0) * threadIdx.x];" }.joined(separator: "\n")
    let steps = (0..<64).map { "a\($0) = a\($0) * a\(($0 + 7) % 64) + p[j];" }.joined()
    let sum = (0..<64).map { "a\($0)" }.joined(separator: " + ")
    let source = KernelSource(
      name: "spills",
      text: """
        extern "C" __global__ void __launch_bounds__(1024, 2) spills(float *p, int n) {
        \(values)
        for (int j = 0; j < n; j++) { \(steps) }
        p[0] = \(sum);
        }
        extern "C" __global__ void plain(float *p) { p[threadIdx.x] += 1; }
        """)
    let program = try NVRTC.shared().compile(
      source, for: KernelVariants.architectures[1], options: ["--ptxas-options=-v"])
    let usages = KernelUsage.parse(program.log).sorted { $0.kernel < $1.kernel }
    try #require(usages.map(\.kernel) == ["plain", "spills"])
    #expect(!usages[0].usesLocalMemory && usages[0].registers > 0)
    #expect(usages[1].spillStoreBytes > 0 && usages[1].spillLoadBytes > 0)
  }

  @Test func errorsNameTheSourceTheKindAndTheLine() throws {
    let source = KernelSource(name: "broken", text: "__global__ void k() {\n  nonsense;\n}")
    let error = try #require(throws: CUDAError.self) {
      try NVRTC.shared().compile(source, for: KernelVariants.architectures[1])
    }
    #expect(error.code == .compilation)
    #expect(error.message.contains("NVRTC_ERROR_COMPILATION"), "\(error)")
    #expect(error.message.contains("broken.cu(2): error"), "\(error)")
    #expect(error.message.contains("sm_90a"), "\(error)")
  }

  /// A GPU that NVRTC does not know yet gets PTX, which its driver compiles.
  @Test func unknownGenerationsGetPTX() throws {
    let compiler = try NVRTC.shared()
    let newest = try #require(compiler.supported.max())
    let architecture = try CUDAArchitecture.best(
      for: CUDACapability(99, 0), supported: compiler.supported)
    #expect(architecture == CUDAArchitecture(newest, isVirtual: true))
    let program = try compiler.compile(.named("read"), for: architecture)
    #expect(String(decoding: program.image, as: UTF8.self).contains(".visible .entry read"))
  }

  @Test func cacheCompilesOnceForEachOfWhatItDependsOn() throws {
    try withTemporaryFolder { folder in
      let cache = KernelCache(folder: folder + "/new/cache")
      let compiler = try NVRTC.shared()
      let source = try KernelSource.named("read")
      func image(_ options: [String] = []) throws -> [UInt8] {
        try cache.image(
          of: source, for: KernelVariants.architectures[1], options: options, compiler: compiler)
      }
      let first = try image()
      _ = try image(["-DUNROLL=2"])
      #expect(try Folder.names(in: folder + "/new/cache").count == 2)
      #expect(try image() == first)
    }
  }
}

/// The choice of an architecture and the table of sources need no compiler.
@Suite struct KernelSourceTests {
  @Test func architecturesAreChosenAndNamed() throws {
    let supported = [CUDACapability(8, 0), CUDACapability(9, 0), CUDACapability(12, 0)]
    func name(_ major: Int, _ minor: Int) throws -> String {
      try CUDAArchitecture.best(for: CUDACapability(major, minor), supported: supported).description
    }
    #expect(try name(9, 0) == "sm_90a")
    #expect(try name(12, 1) == "compute_120")
    #expect(try name(8, 9) == "compute_80")
    #expect(throws: CUDAError.self) { try name(7, 5) }
  }

  /// The table has every file of the folder: a new one cannot be forgotten.
  @Test func everySourceFileIsEmbedded() throws {
    let kernels = RepositoryFolder.root + "/Sources/CMGLUKernels"
    let folder = kernels + "/cuda"
    let files = try Folder.names(in: folder).filter { $0.hasSuffix(".cu") }
    let headers = KernelSource.all.map(\.fileName).filter { $0.hasSuffix(".h") }
    #expect(headers == ["cmglu_numbers.h"])
    #expect(KernelSource.all.map(\.fileName).sorted() == (files + headers).sorted())
    for source in KernelSource.all {
      let place = headers.contains(source.name) ? kernels + "/include" : folder
      let text = try MappedFile(path: "\(place)/\(source.fileName)").contents
      #expect(source.text == String(decoding: text, as: UTF8.self))
    }
    let error = #expect(throws: CUDAError.self) { try KernelSource.named("absent") }
    #expect(error?.code == .unknownKernel && error?.message.contains("read") == true)
  }
}
