/// The weights of one operation in a layout that only their backend knows: a unit's matrices with its
/// mask bits, or several projections that share their input.
public struct PackedWeights: Sendable {
  /// d.
  public let rows: Int
  /// h.
  public let columns: Int
  /// How the elements are stored.
  public let type: WeightType
  /// How the streams combine.
  public let gating: Gating
  /// The gate activation g.
  public let activation: Activation
  /// Where the elements and bits are.
  public let storage: any PackedStorage

  /// Weights `[rows, columns]` that a backend has stored.
  public init(
    rows: Int, columns: Int, type: WeightType, gating: Gating, activation: Activation,
    storage: any PackedStorage
  ) {
    (self.rows, self.columns, self.type) = (rows, columns, type)
    (self.gating, self.activation, self.storage) = (gating, activation, storage)
  }

  /// Bytes that one pass reads.
  public var byteCount: Int { storage.byteCount }
}

/// A backend's own storage of packed weights. Anyone may ask how much of it a pass reads; what it
/// means only the backend knows that made it.
public protocol PackedStorage: AnyObject, Sendable {
  /// The memory that one pass reads, without scales, and without masks that lie apart.
  var matrices: [Tensor] { get }
  /// Bytes that one pass reads, scales and masks included.
  var byteCount: Int { get }
}
