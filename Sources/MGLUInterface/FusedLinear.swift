import CMGLUInterface
import MGLU

// One pass over weights and bits.

/// `mglu_workspace_size` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_workspace_size(
  _ context: OpaquePointer?, _ unit: UnsafePointer<mglu_unit>?,
  _ call: UnsafePointer<mglu_fused_linear_call>?, _ size: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let unit = try UnitArgument(unit, in: context)
    let call = try FusedLinearArguments(call, unit, in: context)
    guard let size else { throw invalid("there is no place for the size") }
    size.pointee = Int64(call.workspaceSize(unit, in: context))
  }
}

/// `mglu_fused_linear` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_fused_linear(
  _ context: OpaquePointer?, _ unit: UnsafePointer<mglu_unit>?,
  _ packed: UnsafePointer<mglu_packed>?, _ call: UnsafePointer<mglu_fused_linear_call>?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let unit = try UnitArgument(unit, in: context)
    let call = try FusedLinearArguments(call, unit, in: context)
    let regions = try context.regions(packed, unit)
    if call.n == 0 { return }
    // 16 bytes of float32 at a time, where rows are whole numbers of them.
    let x = try address(call.x, "x", alignment: context.isGPU ? 16 : 4 - call.narrowing(call.xType))
    let output = try address(
      call.output, "output", alignment: 4 - call.narrowing(call.outputType))
    let needed = context.isGPU ? call.workspaceSize(unit, in: context) : 0
    guard call.place.workspaceByteCount >= needed else {
      throw invalid(
        "workspace: \(call.place.workspaceByteCount) bytes, expected \(needed), as "
          + "mglu_workspace_size tells")
    }
    try context.perform(call.place) { call.enqueue(unit, regions, x, output, in: context) }
  }
}

/// `mglu_prepare` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_prepare(
  _ context: OpaquePointer?, _ unit: UnsafePointer<mglu_unit>?,
  _ call: UnsafePointer<mglu_fused_linear_call>?, _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let unit = try UnitArgument(unit, in: context)
    var call = try FusedLinearArguments(call, unit, in: context)
    guard context.isGPU else { return }
    call.place.isPreparing = true
    let regions = PackedRegions(weights: 256, words: 256)
    func prepare(_ n: Int, promptRows: Int) throws(InterfaceError) {
      (call.n, call.promptRows) = (n, promptRows)
      call.place.workspaceByteCount = max(1, call.workspaceSize(unit, in: context))
      try context.perform(call.place) { call.enqueue(unit, regions, 256, 256, in: context) }
    }
    let (n, promptRows) = (call.n, call.promptRows)
    // More rows go through in passes of as many, and fewer have other kernels.
    for n in 1...max(1, min(n, FusedLinearBatchLaunch.mostRows)) { try prepare(n, promptRows: 0) }
    // Kernels for prompts differ in the rows of their tiles, the smallest of which has 32.
    for n in stride(from: 32, to: promptRows + 32, by: 32) {
      try prepare(min(n, promptRows), promptRows: min(n, promptRows))
    }
  }
}

/// A call as a caller describes it, without its places in memory.
struct FusedLinearArguments {
  var n: Int
  var promptRows: Int
  let xType: WeightType
  let outputType: WeightType
  let precision: InputPrecision
  let x: UnsafeRawPointer?
  let output: UnsafeRawPointer?
  let routes: UnsafeRawPointer?
  var place: BorrowedCall

  @inline(__always)
  init(
    _ pointer: UnsafePointer<mglu_fused_linear_call>?, _ unit: UnitArgument, in context: Context
  ) throws(InterfaceError) {
    let call = try checked(pointer, \.size, "call")
    n = try count(call.n, "n")
    promptRows = try count(call.prompt_rows, "prompt rows")
    guard promptRows <= n else { throw invalid("\(promptRows) rows of prompts, of \(n)") }
    xType = try weightType(call.x_type, "x", integers: false)
    outputType = try weightType(call.output_type, "output", integers: false)
    precision = call.narrows_inputs == 0 ? .exact : .reduced
    _ = try product(n, unit.rows, 4, of: "output")
    _ = try product(n, unit.columns, 8, of: "x")
    if context.isGPU, unit.type == .float32 {
      guard xType == .float32, outputType == .float32 else {
        throw InterfaceError(
          .unsupported, "x and output of float32 weights on a GPU are float32")
      }
      guard n <= 65_535 else {
        throw InterfaceError(
          .unsupported, "\(n) rows of float32 weights: a GPU takes 65535 at a time")
      }
    }
    if call.routes != nil {
      guard unit.masks > 0 else { throw invalid("routes of a unit without masks") }
      _ = try address(UnsafeRawPointer(call.routes), "routes", alignment: 4)
    }
    (x, output, routes) = (call.x, UnsafeRawPointer(call.output), UnsafeRawPointer(call.routes))
    guard call.workspace_size >= 0 else {
      throw invalid("workspace of \(call.workspace_size) bytes")
    }
    place = BorrowedCall()
    place.stream = call.stream.bits
    place.startsEarly = call.starts_early != 0
    if context.isGPU, call.workspace != nil {
      place.workspace = try address(UnsafeRawPointer(call.workspace), "workspace", alignment: 16)
      place.workspaceByteCount = Int(call.workspace_size)
    }
  }

  /// 2 for a type of 16 bits.
  @inline(__always)
  func narrowing(_ type: WeightType) -> UInt { type == .float32 ? 0 : 2 }

  func workspaceSize(_ unit: UnitArgument, in context: Context) -> Int {
    context.backend.workspaceSize(
      rows: unit.rows, columns: unit.columns, n: max(n, 1), promptRows: promptRows,
      gating: unit.gating, as: unit.type, precision: precision)
  }

  /// Enqueues the pass.
  @inline(__always)
  func enqueue(
    _ unit: UnitArgument, _ regions: PackedRegions, _ xAddress: UInt, _ outputAddress: UInt,
    in context: Context
  ) {
    let weights = context.packedWeights(unit, at: regions)
    if let processor = context.processor {
      let rows = FusedLinearRows(
        count: n, x: UnsafeRawPointer(bitPattern: xAddress)!, xType: xType.dataType,
        routes: routes?.assumingMemoryBound(to: Float.self),
        output: UnsafeMutableRawPointer(bitPattern: outputAddress)!,
        outputType: outputType.dataType,
        outputStride: weights.rows)
      return processor.fusedLinear(weights, rows, promptRows: promptRows, precision: precision)
    }
    let backend = context.backend
    backend.fusedLinear(
      weights, backend.borrow(xAddress, [n, weights.columns], xType.dataType), norm: nil,
      routes: routes.map {
        backend.borrow(UInt(bitPattern: $0), [n, unit.masks], .float32)
      },
      promptRows: promptRows, precision: precision, accumulate: false, orders: .plain,
      into: backend.borrow(outputAddress, [n, weights.rows], outputType.dataType))
  }
}
