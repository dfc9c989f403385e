import CMGLUInterface
import MGLU

// Weights into the layout of a device.

/// `mglu_packed_sizes` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_packed_sizes(
  _ context: OpaquePointer?, _ unit: UnsafePointer<mglu_unit>?,
  _ sizes: UnsafeMutablePointer<mglu_sizes>?, _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let unit = try UnitArgument(unit, in: context)
    guard let sizes else { throw invalid("there is no place for the sizes") }
    let regions = context.packedSizes(unit)
    sizes.pointee = mglu_sizes(
      weights: Int64(regions.weights), scales: Int64(regions.scales), words: Int64(regions.words))
  }
}

/// `mglu_pack` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_pack(
  _ context: OpaquePointer?, _ unit: UnsafePointer<mglu_unit>?,
  _ source: UnsafePointer<mglu_source>?, _ packed: UnsafePointer<mglu_packed>?,
  _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let context = try Context.of(context)
    let unit = try UnitArgument(unit, in: context)
    let source = try checked(source, \.size, "source")
    let type = try weightType(source.type, "source", integers: true)
    let planes = unit.gating == .gated ? 2 : 1
    let isMasksOnly = source.weights.0 == nil
    guard !isMasksOnly || !context.isGPU || unit.type == .float32 else {
      throw invalid("matrices: NULL, but a GPU packs them with their masks")
    }
    guard !context.isGPU || type == unit.type || unit.type != .float32 && unit.type != .int8 else {
      throw InterfaceError(
        .unsupported, "\(unit.type) weights of a GPU are packed of \(unit.type) matrices")
    }
    var matrices: [(weights: UInt, scales: UInt)] = []
    if !isMasksOnly {
      let weights = [source.weights.0, source.weights.1]
      let scales = [source.scales.0, source.scales.1]
      for plane in 0..<planes {
        matrices.append(
          (
            try address(weights[plane], "a matrix", alignment: UInt(type.dataType.byteCount)),
            type == .int8 ? try address(scales[plane], "scales", alignment: 2) : 0
          ))
      }
    }
    let masks =
      unit.masks > 0 ? try address(UnsafeRawPointer(source.masks), "bits of masks") : 0
    let regions = try context.regions(packed, unit, allowingMissingWeights: isMasksOnly)
    var call = BorrowedCall()
    call.stream = source.stream.bits
    let (rows, columns, backend) = (unit.rows, unit.columns, context.backend)
    try context.perform(call) {
      let stored = matrices.map { matrix in
        StoredMatrix(
          weights: backend.borrow(matrix.weights, [rows, columns], type.dataType),
          scales: type == .int8
            ? backend.borrow(
              matrix.scales, WeightType.scalesShape(rows: rows, columns: columns), .float16)
            : nil)
      }
      backend.pack(
        stored,
        masks: masks == 0
          ? nil : backend.borrow(masks, [unit.masks, rows, (columns + 7) / 8], .uint8),
        rows: rows, columns: columns, gating: unit.gating, as: unit.type, at: regions)
    }
  }
}

extension UnitArgument {
  /// n_m, or 0.
  var masks: Int { if case .masked(let count, _) = gating { count } else { 0 } }
}

extension Context {
  /// The sizes of a unit's regions.
  @inline(__always)
  func packedSizes(_ unit: UnitArgument) -> PackedRegions {
    backend.packedSizes(
      rows: unit.rows, columns: unit.columns, gating: unit.gating, as: unit.type)
  }

  /// The addresses of a unit's regions.
  @inline(__always)
  func regions(
    _ packed: UnsafePointer<mglu_packed>?, _ unit: UnitArgument,
    allowingMissingWeights: Bool = false
  ) throws(InterfaceError) -> PackedRegions {
    guard let packed = packed?.pointee else { throw invalid("packed weights: NULL") }
    var regions = PackedRegions()
    if !allowingMissingWeights {
      // Cells are read 16 bytes at a time.
      let alignment = isGPU ? 16 : UInt(unit.type.dataType.byteCount)
      regions.weights = try address(packed.weights, "packed weights", alignment: alignment)
      if unit.type == .int8, !isGPU {
        regions.scales = try address(packed.scales, "packed scales", alignment: 2)
      }
    }
    if unit.masks > 0, !isGPU || unit.type == .float32 {
      regions.words = try address(packed.words, "packed words", alignment: isGPU ? 1 : 8)
    }
    return regions
  }
}
