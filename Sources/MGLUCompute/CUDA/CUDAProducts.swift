import CMGLUKernels

/// A product as cuBLASLt sees it: everything that its choice of an algorithm depends on.
package struct ProductShape: Hashable {
  /// C `[rows, columns]` = op(A) op(B), with `inner` between them, row-major.
  let rows, columns, inner: Int
  let transposesA, transposesB: Bool
  let type, resultType: DataType
  let hasAddend: Bool
  /// The powers of two that divide the addresses of A, B, C and D, at most what every tensor begins
  /// at: where in an arena it lies changes no choice.
  let alignments: [UInt32]

  /// Its name in a checkpoint.
  var text: String {
    "\(transposesA ? "T" : "N")\(transposesB ? "T" : "N") \(rows)x\(columns)x\(inner) "
      + "\(type.rawValue) \(resultType.rawValue)\(hasAddend ? " add" : "") "
      + alignments.map(String.init).joined(separator: ",")
  }

  package static func alignment(_ address: UInt64) -> UInt32 {
    UInt32(min(UInt64(HostBuffer.alignment), address & (~address &+ 1)))
  }
}

/// Matrix products of one stream. The algorithm of each shape is the fastest of those that cuBLASLt
/// proposes, measured at the first use, and the same from then on: ``tunedAlgorithms`` are kept in
/// checkpoints and in the folder of compiled kernels, because another algorithm would round sums
/// differently.
final class CUDAProducts {
  /// What the products of a shape are computed with.
  private struct Plan {
    let layouts: Layouts
    let algorithm: cmglu_lt_algorithm
  }

  /// A product and its matrices, in cuBLASLt's words.
  private final class Layouts {
    let library: CUBLASLt
    var (desc, a, b, c): (OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?)

    init(_ library: CUBLASLt) { self.library = library }

    deinit {
      for layout in [a, b, c] where layout != nil {
        _ = library.functions.cublasLtMatrixLayoutDestroy(layout)
      }
      if desc != nil { _ = library.functions.cublasLtMatmulDescDestroy(desc) }
    }
  }

  /// Addresses of A, B, the addend and the result.
  struct Operands {
    let a, b, c, d: UInt64
  }

  static let workspaceBytes = 32 << 20
  private static let candidates = 16

  private let library: CUBLASLt
  private let context: CUDAContext
  private var handle: OpaquePointer?
  private var plans: [ProductShape: Plan] = [:]
  /// The algorithms in use, by library, GPU and shape; those of a checkpoint are taken where they
  /// are for this library and GPU.
  var tunedAlgorithms: [String: String] = [:]

  init(on context: CUDAContext) throws(CUDAError) {
    library = try CUBLASLt.shared()
    self.context = context
    try context.makeCurrent()
    try library.check(library.functions.cublasLtCreate(&handle), "cublasLtCreate")
  }

  deinit {
    plans.removeAll()
    _ = library.functions.cublasLtDestroy(handle)
  }

  /// Enqueues a product.
  func multiply(
    _ shape: ProductShape, _ operands: Operands, workspace: UInt64, on stream: CUDAStream
  ) throws(CUDAError) {
    try context.makeCurrent()
    let plan: Plan
    if let known = plans[shape] {
      plan = known
    } else {
      plan = try makePlan(shape, operands, workspace: workspace, on: stream)
      plans[shape] = plan
    }
    try run(plan, shape, operands, workspace: workspace, on: stream)
  }

  private func run(
    _ plan: Plan, _ shape: ProductShape, _ operands: Operands, workspace: UInt64,
    on stream: CUDAStream
  ) throws(CUDAError) {
    var (alpha, beta): (Float, Float) = (1, shape.hasAddend ? 1 : 0)
    var algorithm = plan.algorithm
    let layouts = plan.layouts
    // Column-major, C^T = op(B)^T op(A)^T: the factors change places.
    try library.check(
      library.functions.cublasLtMatmul(
        handle, layouts.desc, &alpha, operands.b, layouts.a, operands.a, layouts.b, &beta,
        operands.c, layouts.c, operands.d, layouts.c, &algorithm, workspace, Self.workspaceBytes,
        stream.handle),
      "cublasLtMatmul \(shape.text)")
  }

  // Plans ------------------------------------------------------------------------------------------

  private func makePlan(
    _ shape: ProductShape, _ operands: Operands, workspace: UInt64, on stream: CUDAStream
  ) throws(CUDAError) -> Plan {
    let functions = library.functions
    let (type, resultType) = (Self.value(of: shape.type), Self.value(of: shape.resultType))
    let layouts = Layouts(library)
    func layout(
      _ layout: inout OpaquePointer?, _ type: Int32, rows: Int, columns: Int
    ) throws(CUDAError) {
      try library.check(
        functions.cublasLtMatrixLayoutCreate(
          &layout, type, UInt64(rows), UInt64(columns), Int64(rows)), "cublasLtMatrixLayoutCreate")
    }
    try library.check(
      functions.cublasLtMatmulDescCreate(
        &layouts.desc, Int32(CMGLU_LT_COMPUTE_32F), Int32(CMGLU_LT_R_32F)),
      "cublasLtMatmulDescCreate")
    for (attribute, isTransposed) in [
      (CMGLU_LT_DESC_TRANSPOSE_A, shape.transposesB),
      (CMGLU_LT_DESC_TRANSPOSE_B, shape.transposesA),
    ] {
      var operation: Int32 = isTransposed ? 1 : 0
      try library.check(
        functions.cublasLtMatmulDescSetAttribute(layouts.desc, Int32(attribute), &operation, 4),
        "cublasLtMatmulDescSetAttribute")
    }
    let (k, m, n) = (shape.inner, shape.rows, shape.columns)
    let storedA = shape.transposesA ? (rows: k, columns: m) : (rows: m, columns: k)
    let storedB = shape.transposesB ? (rows: n, columns: k) : (rows: k, columns: n)
    try layout(&layouts.a, type, rows: storedB.columns, columns: storedB.rows)
    try layout(&layouts.b, type, rows: storedA.columns, columns: storedA.rows)
    try layout(&layouts.c, resultType, rows: n, columns: m)
    func plan(_ algorithm: cmglu_lt_algorithm) -> Plan {
      Plan(layouts: layouts, algorithm: algorithm)
    }
    let name = "\(library.version) \(context.device.name): \(shape.text)"
    let key = KernelCache.Key(product: name)
    let known =
      tunedAlgorithms[name]
      ?? KernelCache.standard.image(key).map { String(decoding: $0, as: UTF8.self) }
    if let chosen = known.flatMap(cmglu_lt_algorithm.init(hexadecimal:)) {
      var algorithm = chosen
      var result = cmglu_lt_candidate()
      let status = functions.cublasLtMatmulAlgoCheck(
        handle, layouts.desc, layouts.a, layouts.b, layouts.c, layouts.c, &algorithm, &result)
      if status == 0, result.workspace_bytes <= Self.workspaceBytes {
        tunedAlgorithms[name] = known
        return plan(chosen)
      }
    }
    let found = try candidates(shape, layouts)
    let best = try fastest(
      of: found.map { plan($0.algorithm) }, shape, operands, workspace: workspace, on: stream)
    tunedAlgorithms[name] = best.algorithm.hexadecimal
    KernelCache.standard.store(Array(best.algorithm.hexadecimal.utf8), key)
    return best
  }

  /// What cuBLASLt proposes, best first in its opinion.
  private func candidates(
    _ shape: ProductShape, _ layouts: Layouts
  ) throws(CUDAError) -> ArraySlice<cmglu_lt_candidate> {
    let functions = library.functions
    var preference: OpaquePointer?
    try library.check(
      functions.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate")
    defer { _ = functions.cublasLtMatmulPreferenceDestroy(preference) }
    var bytes = Self.workspaceBytes
    try library.check(
      functions.cublasLtMatmulPreferenceSetAttribute(
        preference, Int32(CMGLU_LT_PREFERENCE_WORKSPACE), &bytes, 8), "the size of the workspace")
    // Parts of a sum that were rounded to BF16 before they are added would leave a small result
    // with the rounding of large ones.
    var reductions = UInt32(CMGLU_LT_REDUCTION_FLOAT32)
    try library.check(
      functions.cublasLtMatmulPreferenceSetAttribute(
        preference, Int32(CMGLU_LT_PREFERENCE_REDUCTIONS), &reductions, 4), "the type of sums")
    let aligned = shape.alignments
    for (index, value) in [aligned[1], aligned[0], aligned[2], aligned[3]].enumerated() {
      var value = value
      try library.check(
        functions.cublasLtMatmulPreferenceSetAttribute(
          preference, Int32(CMGLU_LT_PREFERENCE_ALIGNMENT_A) + Int32(index), &value, 4),
        "the alignment of an operand")
    }
    var found = [cmglu_lt_candidate](repeating: cmglu_lt_candidate(), count: Self.candidates)
    var count: Int32 = 0
    try library.check(
      functions.cublasLtMatmulAlgoGetHeuristic(
        handle, layouts.desc, layouts.a, layouts.b, layouts.c, layouts.c, preference,
        Int32(found.count), &found, &count),
      "cublasLtMatmulAlgoGetHeuristic \(shape.text)")
    let usable = found.prefix(Int(count)).filter { $0.state == 0 }
    guard !usable.isEmpty else {
      throw CUDAError(.product, "cuBLASLt has no algorithm for \(shape.text)")
    }
    return usable[...]
  }

  /// The plan of the shortest median of three runs after one that is not counted. They write into
  /// memory of their own, because the result may be the addend.
  private func fastest(
    of plans: [Plan], _ shape: ProductShape, _ operands: Operands, workspace: UInt64,
    on stream: CUDAStream
  ) throws(CUDAError) -> Plan {
    guard plans.count > 1 else { return plans[0] }
    let byteCount = shape.rows * shape.columns * shape.resultType.byteCount
    // Where memory does not suffice for trials, cuBLASLt's own opinion counts.
    guard let target = try? DeviceBuffer(byteCount: byteCount, on: context) else { return plans[0] }
    let trial = Operands(a: operands.a, b: operands.b, c: operands.c, d: target.address)
    let (start, end) = (try CUDAEvent(on: context), try CUDAEvent(on: context))
    var best = (plan: plans[0], milliseconds: Double.infinity)
    for plan in plans {
      try run(plan, shape, trial, workspace: workspace, on: stream)
      var times: [Double] = []
      for _ in 0..<3 {
        try start.record(on: stream)
        try run(plan, shape, trial, workspace: workspace, on: stream)
        try end.record(on: stream)
        try end.synchronize()
        times.append(try end.milliseconds(since: start))
      }
      let median = times.sorted()[1]
      if median < best.milliseconds { best = (plan, median) }
    }
    return best.plan
  }

  private static func value(of type: DataType) -> Int32 {
    Int32(type == .bfloat16 ? CMGLU_LT_R_16BF : CMGLU_LT_R_32F)
  }
}

extension cmglu_lt_algorithm {
  private static let byteCount = MemoryLayout<cmglu_lt_algorithm>.size

  /// The bytes as text.
  package var hexadecimal: String {
    withUnsafeBytes(of: self) { bytes in
      bytes.map { byte in
        String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
      }.joined()
    }
  }

  package init?(hexadecimal: String) {
    let digits = hexadecimal.compactMap(\.hexDigitValue)
    guard digits.count == 2 * Self.byteCount, hexadecimal.count == digits.count else { return nil }
    self.init()
    withUnsafeMutableBytes(of: &self) { bytes in
      for index in bytes.indices {
        bytes[index] = UInt8(digits[2 * index] << 4 | digits[2 * index + 1])
      }
    }
  }
}
