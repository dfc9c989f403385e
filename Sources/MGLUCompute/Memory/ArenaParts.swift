/// Parts of a float32 arena in memory of their own, each addressed as in the whole: the share of a rank, or what
/// is needed for a while. Elements may be of a narrower type, as those of a counterpart are.
public struct ArenaParts: Sendable {
  private struct Part {
    let bytes: Range<Int>
    let window: Arena
  }

  /// Bytes of the memory.
  public let byteCount: Int
  /// The memory of all parts.
  public let arena: Arena
  /// The type of every element.
  public let dataType: DataType
  private let parts: [Part]

  /// Tensors keep the alignment that they have in the whole: algorithms of products depend on it.
  private static let alignment = 256

  /// The whole arena.
  ///
  /// - Parameters:
  ///   - arena: The memory, with one element of `dataType` for each of float32.
  ///   - dataType: The type of its elements.
  public init(_ arena: Arena, of dataType: DataType = .float32) {
    self.arena = arena
    self.dataType = dataType
    let bytes = 0..<arena.byteCount / dataType.byteCount * 4
    byteCount = arena.byteCount
    parts = [Part(bytes: bytes, window: arena)]
  }

  /// Lays parts out.
  ///
  /// - Parameters:
  ///   - kept: Parts with memory of their own, in bytes of the float32 arena.
  ///   - turns: Groups of parts that take turns: each lies where the group `slots` before it does.
  ///   - slots: How many groups there is memory for.
  ///   - dataType: The type of the elements.
  ///   - layout: Where to.
  package init(
    _ kept: [Range<Int>], turns: [[Range<Int>]] = [], slots: Int = 1,
    of dataType: DataType = .float32, in layout: inout ArenaLayout
  ) {
    self.dataType = dataType
    func scaled(_ bytes: Range<Int>) -> Range<Int> {
      bytes.lowerBound / 4 * dataType.byteCount..<bytes.upperBound / 4 * dataType.byteCount
    }
    /// Places one part after the other, and moves `end` behind them.
    func places(_ parts: [Range<Int>], _ end: inout Int) -> [(Range<Int>, offset: Int)] {
      parts.map { part in
        let bytes = scaled(part)
        end = (end + Self.alignment - 1) / Self.alignment * Self.alignment
        end += bytes.lowerBound % Self.alignment
        defer { end += bytes.count }
        return (part, end)
      }
    }
    var end = 0
    var all = places(kept, &end)
    let groups = turns.map { group in
      var size = 0
      return (parts: places(group, &size), size: size)
    }
    let slotBytes =
      ((groups.map(\.size).max() ?? 0) + Self.alignment - 1) / Self.alignment
      * Self.alignment
    let slots = min(slots, turns.count)
    let first = (end + Self.alignment - 1) / Self.alignment * Self.alignment
    for (index, group) in groups.enumerated() {
      all += group.parts.map { ($0, first + index % slots * slotBytes + $1) }
    }
    let memory = layout.tensor([slots == 0 ? end : first + slots * slotBytes], .uint8)
    byteCount = memory.byteCount
    arena = memory.arena
    parts = all.map { part, offset in
      Part(
        bytes: part,
        window: Arena(
          windowOf: memory.arena, at: memory.byteOffset + offset, for: scaled(part)))
    }
  }

  /// Whether this machine can read the elements.
  public var isHostVisible: Bool { arena.isHostVisible }

  /// The elements of a stretch of the float32 arena that lies in one of the parts, or `nil`.
  package func elements(ifInBytes range: Range<Int>) -> Tensor? {
    let part = parts.first {
      $0.bytes.lowerBound <= range.lowerBound && range.upperBound <= $0.bytes.upperBound
    }
    return part.map { part in
      Tensor(
        arena: part.window, byteOffset: range.lowerBound / 4 * dataType.byteCount,
        shape: [range.count / 4], dataType: dataType)
    }
  }

  /// The elements of a stretch of the float32 arena, as one vector.
  ///
  /// - Precondition: it is empty, or lies in one of the parts.
  package func elements(inBytes range: Range<Int>) -> Tensor {
    if range.isEmpty { return Tensor(arena: arena, byteOffset: 0, shape: [0], dataType: dataType) }
    guard let elements = elements(ifInBytes: range) else {
      preconditionFailure("\(range) lies in no part of the arena")
    }
    return elements
  }

  /// The place here of a tensor of the arena, or of a counterpart of it; `nil` where it is in no part.
  package func counterpart(of tensor: Tensor) -> Tensor? {
    let start = tensor.byteOffset / tensor.dataType.byteCount * 4
    return elements(ifInBytes: start..<start + 4 * tensor.count)?.reshaped(tensor.shape)
  }
}
