/// A view of contiguous, row-major elements in an arena.
///
/// Copying a tensor copies the view, not the elements: like a span with shared ownership. What
/// may cross threads is said at ``Arena``.
public struct Tensor: Sendable {
  /// The memory that the elements lie in.
  public let arena: Arena
  /// Where the first element lies, in bytes from the arena's start.
  public let byteOffset: Int
  /// Sizes, outermost first.
  public let shape: [Int]
  /// The type of every element.
  public let dataType: DataType

  init(arena: Arena, byteOffset: Int, shape: [Int], dataType: DataType) {
    self.arena = arena
    self.byteOffset = byteOffset
    self.shape = shape
    self.dataType = dataType
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// The size in bytes.
  public var byteCount: Int { count * dataType.byteCount }
  /// The innermost size: the length of a row.
  public var columns: Int { shape.last ?? 1 }
  /// How many rows of ``columns`` elements there are.
  public var rows: Int {
    // A slice of the shape would be another reference to count.
    var rows = 1
    for index in 0..<max(0, shape.count - 1) { rows *= shape[index] }
    return rows
  }

  /// The sub-tensor of `range` along the outermost dimension.
  ///
  /// - Precondition: `range` lies within `shape[0]`.
  public subscript(range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= shape[0], "range outside the tensor")
    let stride = shape.dropFirst().reduce(dataType.byteCount, *)
    return Tensor(
      arena: arena, byteOffset: byteOffset + range.lowerBound * stride,
      shape: [range.count] + shape.dropFirst(), dataType: dataType)
  }

  /// The same elements under another shape of equal count.
  public func reshaped(_ shape: [Int]) -> Tensor {
    precondition(shape.reduce(1, *) == count, "\(shape) does not hold \(count) elements")
    return Tensor(arena: arena, byteOffset: byteOffset, shape: shape, dataType: dataType)
  }

  /// The tensor at the same place in another arena of the same layout, such as the gradient of a
  /// parameter; of another type where all elements of that arena are.
  public func counterpart(in other: Arena, as type: DataType? = nil) -> Tensor {
    let type = type ?? dataType
    let offset = byteOffset / dataType.byteCount * type.byteCount
    let tensor = Tensor(arena: other, byteOffset: offset, shape: shape, dataType: type)
    precondition(offset + tensor.byteCount <= other.byteCount, "no counterpart in that arena")
    return tensor
  }

  /// The transpose of this matrix as an operand of ``TrainingBackend/multiply(_:_:into:adding:)``.
  public var transposed: MatrixOperand { MatrixOperand(tensor: self, isTransposed: true) }
}

// Elements, in memory that the host can read.
extension Tensor {
  private var start: UnsafeMutableRawPointer {
    guard let base = arena.hostAddress else {
      preconditionFailure("the elements are a device's: copy them to the host first")
    }
    precondition(
      !arena.isPlan || count == 0,
      "a tensor that allocate(_:) describes has elements only after that returns")
    return base + (byteOffset - arena.origin)
  }

  package var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: start, count: byteCount)
  }

  package var floats: UnsafeMutablePointer<Float> {
    precondition(dataType == .float32, "a float32 tensor was expected, found \(dataType)")
    return start.assumingMemoryBound(to: Float.self)
  }

  package var doubles: UnsafeMutablePointer<Double> {
    precondition(dataType == .float64, "a float64 tensor was expected, found \(dataType)")
    return start.assumingMemoryBound(to: Double.self)
  }

  package var integers: UnsafeMutablePointer<Int32> {
    precondition(dataType == .int32, "an int32 tensor was expected, found \(dataType)")
    return start.assumingMemoryBound(to: Int32.self)
  }

  /// Reads the float32 elements in storage order.
  public func withFloats<R, E: Error>(_ body: (Span<Float>) throws(E) -> R) throws(E) -> R {
    try body(Span(_unsafeElements: UnsafeBufferPointer(start: floats, count: count)))
  }

  /// Writes the float32 elements in storage order.
  public func withMutableFloats<R, E: Error>(
    _ body: (inout MutableSpan<Float>) throws(E) -> R
  ) throws(E) -> R {
    var span = MutableSpan(_unsafeElements: UnsafeMutableBufferPointer(start: floats, count: count))
    return try body(&span)
  }

  /// The float32 elements, copied.
  public var array: [Float] { Array(UnsafeBufferPointer(start: floats, count: count)) }

  /// Whether every element, of float32 or bfloat16, is a finite number.
  public var isFinite: Bool {
    guard dataType == .bfloat16 else {
      return withFloats { span in span.indices.allSatisfy { span[$0].isFinite } }
    }
    return bytes.bindMemory(to: UInt16.self).allSatisfy { $0 & 0x7f80 != 0x7f80 }
  }

  /// Overwrites the float32 elements.
  ///
  /// - Precondition: `values` has exactly ``count`` elements.
  @inlinable
  public func assign(_ values: some Collection<Float>) {
    // Inlined, so that it is compiled for the collection: 4M repeated elements take 1 ms, not 1 s.
    withMutableFloats { elements in
      guard values.count == elements.count else {
        fatalError("\(values.count) values for \(elements.count) elements")
      }
      elements.withUnsafeMutableBufferPointer { _ = $0.update(fromContentsOf: values) }
    }
  }

  /// Overwrites the int32 elements.
  ///
  /// - Precondition: `values` has exactly ``count`` elements.
  public func assign(integers values: some Collection<Int32>) {
    precondition(values.count == count, "\(values.count) values for \(count) elements")
    _ = UnsafeMutableBufferPointer(start: integers, count: count).update(fromContentsOf: values)
  }
}

extension Arena {
  /// All elements as one vector of float32. A window has no such vector.
  public var floats: Tensor { elements(.float32) }

  /// All elements as one vector.
  public func elements(_ type: DataType) -> Tensor {
    Tensor(arena: self, byteOffset: 0, shape: [byteCount / type.byteCount], dataType: type)
  }

  /// The float32 elements of a part of the arena as one vector, whatever tensors they belong to.
  /// Padding between tensors is zero and stays zero under every operation that keeps zeros.
  public func floats(inBytes range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= byteCount && range.lowerBound % 4 == 0
        && range.count % 4 == 0, "bytes \(range) of \(byteCount) are no floats of an arena")
    return Tensor(
      arena: self, byteOffset: range.lowerBound, shape: [range.count / 4], dataType: .float32)
  }
}

/// A matrix, or its transpose, as a factor of a product.
public struct MatrixOperand: Sendable {
  /// The stored matrix.
  public let tensor: Tensor
  /// Whether the factor is the transpose of what is stored.
  public let isTransposed: Bool

  package init(tensor: Tensor, isTransposed: Bool) {
    self.tensor = tensor
    self.isTransposed = isTransposed
  }

  /// Rows and columns of the factor.
  var size: (rows: Int, columns: Int) {
    isTransposed ? (tensor.columns, tensor.rows) : (tensor.rows, tensor.columns)
  }
}
