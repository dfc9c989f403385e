import MGLUCompute
import MGLUTestSupport
import Testing

/// A source in one of the variants that the package compiles.
struct KernelVariant: Sendable, CustomTestStringConvertible {
  let source: KernelSource
  let options: [String]
  let architecture: CUDAArchitecture

  var testDescription: String {
    ([source.name] + options + [architecture.description]).joined(separator: " ")
  }
}

/// The variants of every source that are compiled without a GPU.
enum KernelVariants {
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
    "fused_linear": (1...15).map { fusedLinear($0, 1, .float16) }
      + [.float16, .bfloat16].map {
        fusedLinear(0, 1, $0, isStaged: true) + ["-DINTERLEAVED=1"]
      },
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

  static let all = KernelSource.modules.flatMap { source in
    let common = onHopperAlone.contains(source.name) ? [] : options[source.name] ?? [[]]
    let everywhere = common.enumerated().flatMap { index, options in
      generations(ofVariant: index).map {
        KernelVariant(source: source, options: options, architecture: $0)
      }
    }
    let hopper = (hopperOptions[source.name] ?? []).filter {
      options[source.name]?.contains($0) != true
    }
    return everywhere
      + hopper.map { KernelVariant(source: source, options: $0, architecture: architectures[1]) }
  }
}
