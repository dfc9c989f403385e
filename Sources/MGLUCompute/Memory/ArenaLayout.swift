/// Lays tensors out one after the other in an arena that may not exist yet.
///
/// The same description runs twice: once to measure, once over the real memory. Describing a
/// structure is therefore all it takes to plan it, predict its size or allocate it:
///
///     let saved = backend.allocate { layout in SavedStreams(shape, in: &layout) }
public struct ArenaLayout {
  /// Bytes laid out so far.
  public private(set) var byteCount = 0
  private let arena: Arena

  private static let plan = Arena(plan: HostMemory(byteCount: 0))

  /// A layout over `arena`, or one that only measures.
  public init(over arena: Arena? = nil) { self.arena = arena ?? Self.plan }

  /// The next tensor, aligned to a cache line.
  ///
  /// In a measuring pass the result describes memory that does not exist: its shape may be used,
  /// its elements may not.
  ///
  /// - Precondition: no size is negative, the bytes can be counted, and an arena that is given holds them.
  public mutating func tensor(_ shape: [Int], _ dataType: DataType = .float32) -> Tensor {
    precondition(shape.allSatisfy { $0 >= 0 }, "a tensor of \(shape)")
    let tensor = Tensor(arena: arena, byteOffset: byteCount, shape: shape, dataType: dataType)
    precondition(
      arena.isPlan || byteCount + tensor.byteCount <= arena.byteCount,
      "a tensor of \(shape) at byte \(byteCount) lies outside an arena of \(arena.byteCount) bytes")
    let aligned = tensor.byteCount + HostBuffer.alignment - 1
    byteCount += aligned / HostBuffer.alignment * HostBuffer.alignment
    return tensor
  }

  /// Lets the next tensor begin at a multiple of `alignment` bytes.
  package mutating func align(to alignment: Int) {
    byteCount = (byteCount + alignment - 1) / alignment * alignment
  }

  /// The size in bytes of what `describe` lays out, without allocating it.
  public static func measure<E: Error>(
    _ describe: (inout ArenaLayout) throws(E) -> Void
  ) throws(E) -> Int {
    var layout = ArenaLayout()
    try describe(&layout)
    return layout.byteCount
  }
}
