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
  /// A source in one of the variants that the package compiles.
  struct Variant: Sendable, CustomTestStringConvertible {
    let source: KernelSource
    let options: [String]
    let architecture: CUDAArchitecture

    var testDescription: String {
      ([source.name] + options + [architecture.description]).joined(separator: " ")
    }
  }

  static let architectures = [(8, 0), (9, 0), (10, 0), (12, 0)].map {
    CUDAArchitecture(CUDACapability($0.0, $0.1))
  }

  /// Options to compile a source with for every generation, one list for each variant; a source that
  /// is not here has one without options. Of fused_linear.cu's some 140 variants, and of decode.cu's and
  /// training_units.cu's, the corners: no masks, one, vectors of them, as many as two blocks share a
  /// multiprocessor with, all; GLU; every ablation.
  static let options: [String: [[String]]] = [
    "read": [[], ["-DUNROLL=4"]],
    "fused_linear": [(0, 1), (1, 1), (4, 1), (8, 1), (16, 1), (0, 2)].flatMap { masks, planes in
      [
        fusedLinear(masks, planes), fusedLinear(masks, planes, batch: 16),
        fusedLinear(masks, planes, .bfloat16, isStaged: true),
        fusedLinear(masks, planes, .bfloat16, batch: 16, isStaged: true),
        fusedLinear(masks, planes, .int8), fusedLinear(masks, planes, .int8, batch: 16),
      ]
    },
    "decode": [(0, 1), (0, 2), (1, 1), (4, 1), (8, 1), (11, 1), (16, 1)].flatMap { masks, planes in
      let unit = ["-DUNIT_MASKS=\(masks)", "-DUNIT_PLANES=\(planes)", "-DHEAD=64"]
      return [
        unit + ["-DBF16=0", "-DQUERIES=2", "-DBITS=32"],
        unit + ["-DBF16=1", "-DQUERIES=4", "-DBITS=16"],
        unit + ["-DBF16=0", "-DQUERIES=2", "-DBITS=16", "-DINT8=1"],
        unit.dropLast() + ["-DHEAD=32", "-DBF16=1", "-DQUERIES=1", "-DBITS=16"],
        unit.dropLast() + ["-DHEAD=32", "-DBF16=0", "-DQUERIES=3", "-DBITS=32"],
      ]
    },
    "attention": [(16, 1, 32), (64, 4, 32), (80, 3, 16), (128, 4, 32), (256, 4, 16)].flatMap {
      size, queries, bits in
      let options = ["-DHEAD=\(size)", "-DQUERIES=\(queries)", "-DBITS=\(bits)"]
      return [
        options, options + ["-DROTARY=\(size / 2)", "-DROW_BITS=32"], options + ["-DROTARY=0"],
      ]
    },
    "attention_decode": [32, 64, 96, 128].flatMap { size in
      [(1, 0, 8, size), (8, 1, 8, size), (4, 0, 4, size / 2), (3, 1, 8, 0)].map {
        queries, bfloat, warps, rotary in
        ["-DHEAD=\(size)", "-DQUERIES=\(queries)", "-DBF16=\(bfloat)"]
          + ["-DBLOCK_WARPS=\(warps)", "-DROTARY=\(rotary)", "-DROW_BITS=\(16 + 16 * bfloat)"]
      }
    },
    "attention_prompt": [32, 64, 96, 128].flatMap { size in
      [16, 32].map {
        ["-DHEAD=\(size)", "-DBF16=\($0 / 32)", "-DROW_BITS=\($0)", "-DINTERLEAVED=\($0 / 32)"]
      }
    },
    "attention_prompt_hopper": [(64, 1), (64, 2), (128, 1)].flatMap { size, heads in
      [16, 32].map {
        [
          "-DHEAD=\(size)", "-DHEADS=\(heads)", "-DBF16=\($0 / 32)", "-DROW_BITS=\($0)",
          "-DINTERLEAVED=\(1 - $0 / 32)",
        ]
      }
    },
    "attention_store": [(16, 32), (64, 16), (80, 16), (30, 16)].flatMap { size, bits in
      [(size, bits), (size / 2, 32), (0, bits)].map {
        ["-DHEAD=\(size)", "-DBITS=\(bits)", "-DROTARY=\($0)", "-DROW_BITS=\($1)"]
      }
    },
    "training": [["-DWIDE=0"], ["-DWIDE=1"]],
    // Masks, gating and activation as training_units.cu counts them, routes.
    "training_units":
      ([(0, 1, 1, 0), (16, 3, 2, 1), (16, 4, 3, 1), (16, 5, 1, 0)]
      + Activation.allCases.indices.map { (1, 3, $0, 0) })
      .flatMap { masks, gating, activation, routed in
        [0, 1].map { wide in
          [
            "-DMASKS=\(masks)", "-DGATING=\(gating)", "-DACTIVATION=\(activation)",
            "-DROUTED=\(routed)", "-DWIDE=\(wide)",
          ]
        }
      },
    "attention_train": [16, 32, 48, 64, 80, 120, 128].flatMap { size in
      [1, 4].flatMap { group in
        let options = ["-DHEAD=\(size)", "-DGROUP=\(group)"]
        return [options, options + ["-DWINDOW=1"]]
      }
    },
  ]

  /// And for 9.0 alone: every count of masks that a single row may meet, and what only it has.
  static let hopperOptions = [
    "fused_linear": (1...15).map { fusedLinear($0, 1, .float16) },
    "fused_linear_batch": batchOptions("fused_linear_batch"),
    "fused_linear_batch_wide": batchOptions("fused_linear_batch_wide"),
    "fused_linear_prompt": promptOptions,
    "attention_decode_hopper": [32, 64, 96, 128].flatMap { size in
      [(1, 0, size), (8, 1, size), (4, 0, size / 2), (3, 1, 0)].map { queries, bfloat, rotary in
        let shape = AttentionShape(
          heads: 8 * queries, kvHeads: 8, headSize: size, rotarySize: rotary)
        return AttentionLaunch.decoding(
          rows: bfloat == 0 ? 10 : 100, of: bfloat == 0 ? .float16 : .float32, shape,
          bfloat == 0 ? .float16 : .bfloat16, on: FusedLinearLaunchTests.devices[3]
        ).options
      }
    },
  ]

  /// Sources that only Hopper has the instructions for.
  static let onHopperAlone: Set = [
    "attention_decode_hopper", "fused_linear_batch", "fused_linear_batch_wide",
    "fused_linear_prompt",
  ]

  /// A kernel of steps of many rows as it is launched for every unit over steps of all sizes.
  static func batchOptions(_ kernel: String) -> [[String]] {
    let hopper = FusedLinearLaunchTests.devices[3]
    var found: [[String]] = []
    func add(
      _ gating: Gating, _ activation: Activation, _ types: [WeightType], output: DataType = .float16
    ) {
      let order: ColumnOrder = gating == .linear ? .plain : .interleaved
      for type in types {
        for batch in [8, 32, 64, 128, 256] {
          for (rows, width) in [(2048, 2048), (2048, 8192), (50_257, 2048)] {
            for input in [FusedLinearBatchLaunch.Input.staged, .rows(.plain)] {
              let launch = FusedLinearBatchLaunch(
                gating: gating, activation: activation, type: type, output: output,
                outputOrder: batch > 16 ? order : .plain, input: input, rows: rows, width: width,
                batch: batch, pieces: 1, on: hopper)
              if launch.kernel == kernel, !found.contains(launch.options) {
                found.append(launch.options)
              }
            }
          }
        }
      }
    }
    add(.linear, .identity, [.float16, .int8], output: .float32)
    add(.linear, .identity, [.bfloat16], output: .bfloat16)
    add(.gated, .silu, [.float16, .int8])
    add(.shared, .gelu, [.float16])
    for count in [1, 2, 3, 4, 8, 11, 16] {
      add(.masked(count: count, ablation: nil), .silu, [.float16, .int8])
    }
    add(.masked(count: 4, ablation: .noGateMask), .silu, [.bfloat16])
    add(.masked(count: 5, ablation: .noValueMask), .geluTanh, [.bfloat16])
    return found
  }

  /// Every tile of units with up to six masks, whose outputs are interleaved, and the largest of the others, of
  /// BF16 and INT8, of ablations, with routes and for every activation.
  static let promptOptions: [[String]] = {
    func options(
      _ gating: Gating, _ activation: Activation = .silu, _ type: WeightType = .float16,
      isRouted: Bool = false
    ) -> [[String]] {
      FusedLinearPromptVariant.columns(of: gating).map {
        FusedLinearPromptVariant(
          gating: gating, activation: activation, type: type, isRouted: isRouted,
          outputOrder: gating == .linear || isRouted ? .plain : .interleaved, columns: $0
        ).options
      }
    }
    func masked(_ count: Int, _ ablation: MaskAblation? = nil) -> Gating {
      .masked(count: count, ablation: ablation)
    }
    let everyTile =
      options(.linear, .identity) + options(.gated) + (1...6).flatMap { options(masked($0)) }
    let largest =
      [
        options(.linear, .identity, .bfloat16), options(.shared), options(.gated, .silu, .bfloat16),
        options(masked(4), .silu, .bfloat16), options(masked(2, .noGateMask)),
        options(.linear, .identity, .int8), options(.gated, .silu, .int8),
        options(masked(5, .noValueMask)), options(masked(4), isRouted: true),
        options(masked(16), .gelu, isRouted: true),
      ] + (7...16).map { options(masked($0)) }
      + [1, 4, 6, 8, 16].map { options(masked($0), .silu, .int8) }
      + Activation.allCases.map { options(.gated, $0) }
    return everyTile + largest.map { $0[0] }.filter { !everyTile.contains($0) }
  }()

  /// The options of a variant of fused_linear.cu, as the launcher makes them.
  static func fusedLinear(
    _ masks: Int, _ planes: Int, _ type: WeightType = .float16, batch: Int = 1,
    isStaged: Bool = false
  ) -> [String] {
    FusedLinearVariant(
      masks: masks, planes: planes, type: type, batch: batch, pieces: 1, width: 2048
    )
    .options(isStaged: isStaged)
  }

  /// Kernels that may use local memory, by the beginning of their names, in the variants that have
  /// all of these options. A kernel that may spill has to say so here, with the reason.
  static let mayUseLocalMemory: [(kernel: String, options: [String])] = [
    // 17 sums of 16 columns are 136 of a thread's 255 registers, which leaves too few for a cell's
    // words and weights: a dozen values go to memory once for each cell, on GPUs newer than 9.0.
    ("fused_linear", ["-DMASKS=16", "-DTILES=2"]),
    // Groups of integers have sums of their own beside these.
    ("fused_linear", ["-DMASKS=8", "-DTILES=2", "-DINT8=1"]),
    ("fused_linear_batch", ["-DMASKS=16", "-DINT8=1"]),
    ("fused_linear_batch", ["-DMASKS=11", "-DINT8=1"]),
    // 64 columns of values for two queries are 128 of a thread's 255 registers: two values too few.
    ("attention_decode_hopper", ["-DHEAD=128"]),
    // What a team knows of its items leaves room for one value too few.
    ("attention_decode_hopper", ["-DHEAD=96", "-DHELD=4"]),
    // Nine warps leave a thread 168 registers: three values too few with 8 masks, some ten with 11.
    ("decode", ["-DUNIT_MASKS=8"]), ("decode", ["-DUNIT_MASKS=11"]),
    ("decode", ["-DUNIT_MASKS=16"]),
    // The gradients of 64 keys and values of 128 elements are 128 registers, and what a step needs
    // beside them leaves two values too many on 8.0; heads of a size between are held in as many, and
    // leave up to ten.
    ("attention_train_keys", ["-DHEAD=120"]), ("attention_train_keys", ["-DHEAD=128"]),
    // Scores a step ahead of the exponentials: a dozen values at most go to memory, where every query
    // head has keys of its own, or where heads are small.
    ("attention_train_queries", ["-DGROUP=1"]), ("attention_train_queries", ["-DHEAD=16"]),
    // The first key of a window is one value more.
    ("attention_train_queries", ["-DHEAD=64", "-DWINDOW=1"]),
    // A quarter of a multiprocessor's registers: one value too many on 12.0.
    ("attention_decode_splits", ["-DBLOCK_WARPS=4"]),
    // 64 registers a thread, because rows of 8192 take 1024 of them: four values too few on 12.0.
    ("rms_norm_backward", ["-DWIDE=1"]),
    // 17 streams of eight columns, read element by element: up to eight values too many.
    ("combine_backward", ["-DMASKS=16", "-DROUTED=1", "-DWIDE=0"]),
  ]

  /// What a source's variants are compiled for: 9.0 and one other in turn, the first for every generation;
  /// or all for all with `MGLU_TEST_KERNELS=all`, which compiles every one.
  static func generations(ofVariant index: Int) -> [CUDAArchitecture] {
    if index == 0 || Environment.value("MGLU_TEST_KERNELS") == "all" { return architectures }
    // Lists come in groups of two, three or six, whose members are not to meet one generation alone.
    return [architectures[1], architectures[[0, 2, 3][(index + index / 3) % 3]]]
  }

  static let variants = KernelSource.modules.flatMap { source in
    let common = onHopperAlone.contains(source.name) ? [] : options[source.name] ?? [[]]
    let everywhere = common.enumerated().flatMap { index, options in
      generations(ofVariant: index).map {
        Variant(source: source, options: options, architecture: $0)
      }
    }
    let hopper = (hopperOptions[source.name] ?? []).filter {
      options[source.name]?.contains($0) != true
    }
    return everywhere
      + hopper.map { Variant(source: source, options: $0, architecture: architectures[1]) }
  }

  /// The variants that are compiled although the record has them: a sixteenth, another one with every
  /// change of a kernel.
  static let checked: Set<String> = {
    guard let compiler = try? NVRTC.shared() else { return [] }
    let keys = variants.map { KernelUsageRecord.key($0, compiler: compiler) }
    func part(_ text: String) -> Int {
      Int(text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 } >> 28)
    }
    let turn = part(keys.joined())
    return Set(keys.filter { part($0) == turn })
  }()

  /// What ptxas says of a variant, or has said of it before.
  static func usages(of variant: Variant) throws -> [KernelUsage] {
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

  @Test(arguments: variants)
  func everyKernelCompilesAndSpillsNothing(variant: Variant) throws {
    let usages = try Self.usages(of: variant)
    #expect(!usages.isEmpty)
    for usage in usages {
      #expect(usage.registers > 0, "\(usage)")
      let maySpill = Self.mayUseLocalMemory.contains { kernel, options in
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
        Variant(
          source: KernelSource(name: "a", text: text), options: options,
          architecture: Self.architectures[architecture]), compiler: compiler)
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
      of: Variant(source: .named("decode"), options: options, architecture: Self.architectures[1]))
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
      source, for: Self.architectures[1], options: ["--ptxas-options=-v"])
    let usages = KernelUsage.parse(program.log).sorted { $0.kernel < $1.kernel }
    try #require(usages.map(\.kernel) == ["plain", "spills"])
    #expect(!usages[0].usesLocalMemory && usages[0].registers > 0)
    #expect(usages[1].spillStoreBytes > 0 && usages[1].spillLoadBytes > 0)
  }

  @Test func errorsNameTheSourceTheKindAndTheLine() throws {
    let source = KernelSource(name: "broken", text: "__global__ void k() {\n  nonsense;\n}")
    let error = try #require(throws: CUDAError.self) {
      try NVRTC.shared().compile(source, for: Self.architectures[1])
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
          of: source, for: Self.architectures[1], options: options, compiler: compiler)
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
