import CMGLUInterface
import MGLU

// Values of a caller, checked: what is behind a pointer is taken on trust, all else is not.

/// The structure at a pointer, of a caller that knows all of its members.
@inline(__always)
func checked<Value>(
  _ pointer: UnsafePointer<Value>?, _ size: KeyPath<Value, Int64>, _ name: String
) throws(InterfaceError) -> Value {
  guard let pointer else { throw invalid("\(name): NULL") }
  let size = pointer.pointee[keyPath: size]
  guard size >= MemoryLayout<Value>.size, size < 1 << 16 else {
    throw invalid(
      "\(name): its size is \(size), expected \(MemoryLayout<Value>.size), as sizeof tells it")
  }
  return pointer.pointee
}

/// An address that a call needs, aligned to elements of `alignment` bytes.
@inline(__always)
func address(
  _ pointer: UnsafeRawPointer?, _ name: StaticString, alignment: UInt = 1
) throws(InterfaceError) -> UInt {
  guard let pointer else { throw invalid("\(name): NULL") }
  let address = UInt(bitPattern: pointer)
  guard address % alignment == 0 else {
    throw invalid("\(name): an address that is no multiple of \(alignment)")
  }
  return address
}

/// A count from 0, or `least`, to what kernels count to.
@inline(__always)
func count(
  _ value: Int64, _ name: StaticString, from least: Int64 = 0
) throws(InterfaceError) -> Int {
  guard value >= least, value < Int32.max else {
    throw invalid("\(name) is \(value): expected \(least) to \(Int32.max - 1)")
  }
  return Int(value)
}

/// A size that is the product of others.
@inline(__always)
func product(_ sizes: Int..., of name: StaticString) throws(InterfaceError) -> Int {
  var result = 1
  for size in sizes {
    let (value, overflows) = result.multipliedReportingOverflow(by: size)
    guard !overflows, value < 1 << 46 else { throw invalid("\(name): \(sizes) is too large") }
    result = value
  }
  return result
}

/// The unit of a number, with its masks.
@inline(__always)
func gating(_ kind: Int32, masks: Int32) throws(InterfaceError) -> Gating {
  let gating: Gating
  switch Int(kind) {
  case MGLU_LU: gating = .linear
  case MGLU_GLU: gating = .gated
  case MGLU_SHARED_GLU: gating = .shared
  case MGLU_MGLU: gating = .masked(count: Int(masks), ablation: nil)
  case MGLU_NO_GATE_MASK: gating = .masked(count: Int(masks), ablation: .noGateMask)
  case MGLU_NO_VALUE_MASK: gating = .masked(count: Int(masks), ablation: .noValueMask)
  default: throw invalid("unit \(kind): expected 0 to 5")
  }
  let isMasked = kind >= MGLU_MGLU
  guard isMasked ? (1...16).contains(masks) : masks == 0 else {
    throw invalid("\(masks) masks: expected \(isMasked ? "1 to 16" : "0 for a unit without")")
  }
  return gating
}

extension Activation {
  init(number: Int32) throws(InterfaceError) {
    switch Int(number) {
    case MGLU_SIGMOID: self = .sigmoid
    case MGLU_SILU: self = .silu
    case MGLU_GELU: self = .gelu
    case MGLU_GELU_TANH: self = .geluTanh
    case MGLU_RELU: self = .relu
    case MGLU_RELU2: self = .relu2
    case MGLU_IDENTITY: self = .identity
    default: throw invalid("activation \(number): expected 0 to 6")
    }
  }
}

/// The type of a number; integers where they are allowed.
@inline(__always)
func weightType(
  _ number: Int32, _ name: StaticString, integers: Bool
) throws(InterfaceError) -> WeightType {
  switch Int(number) {
  case MGLU_FLOAT32: return .float32
  case MGLU_FLOAT16: return .float16
  case MGLU_BFLOAT16: return .bfloat16
  case MGLU_INT8 where integers: return .int8
  default: throw invalid("\(name): type \(number), expected 0 to \(integers ? 3 : 2)")
  }
}

/// A unit as a caller describes it.
struct UnitArgument: Equatable {
  let rows: Int
  let columns: Int
  let gating: Gating
  let activation: Activation
  let type: WeightType

  @inline(__always)
  init(_ pointer: UnsafePointer<mglu_unit>?, in context: Context) throws(InterfaceError) {
    let unit = try checked(pointer, \.size, "unit")
    rows = try count(unit.rows, "rows of a unit", from: 1)
    columns = try count(unit.columns, "columns of a unit", from: 1)
    gating = try MGLUInterface.gating(unit.kind, masks: unit.masks)
    activation = try Activation(number: unit.activation)
    type = try weightType(unit.type, "weights", integers: true)
    _ = try product(rows, columns, 34, of: "a unit")
    if !context.backend.weightTypes.contains(type) {
      do throws(BackendError) { try context.backend.check(type) } catch {
        throw InterfaceError(error)
      }
    }
  }
}

extension UnsafeMutableRawPointer? {
  /// The pointer as a number; 0 for none.
  var bits: UInt { UInt(bitPattern: self) }
}
