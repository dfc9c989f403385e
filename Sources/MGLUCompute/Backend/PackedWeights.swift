/// How inference stores weights.
public enum WeightType: String, Sendable, CaseIterable {
  /// float32.
  case float32 = "fp32"
  /// IEEE half precision.
  case float16 = "fp16"
  /// bfloat16: float32 without its lower half.
  case bfloat16 = "bf16"
  /// Groups of 32 integers of -127 to 127 along a row, each with an FP16 scale (the last group of a
  /// row may be shorter).
  case int8

  /// The type of the stored elements.
  public var dataType: DataType {
    switch self {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .int8: .int8
    }
  }

  /// The type whose elements are `dataType`.
  public init?(_ dataType: DataType) {
    guard let found = Self.allCases.first(where: { $0.dataType == dataType }) else { return nil }
    self = found
  }

  /// Elements that share a scale.
  public static let groupSize = 32

  /// The shape of the scales of a matrix `[rows, columns]`.
  public static func scalesShape(rows: Int, columns: Int) -> [Int] {
    [rows, (columns + groupSize - 1) / groupSize]
  }
}

/// How much of their input the products see.
public enum InputPrecision: String, Sendable, CaseIterable {
  /// Inputs as they are: within 1e-5 of float64 over the same weights.
  case exact = "fp32"
  /// Inputs as narrow as the weights, as GPUs and llama.cpp do: BF16 for BF16 weights (relative
  /// error about 2e-3), groups of 32 8-bit integers for INT8 weights (about 1e-2). FP32 and FP16
  /// weights take inputs as they are.
  case reduced = "bf16"
}

/// A matrix `[rows, columns]` as it is stored, in memory or in a mapped file, aligned or not.
public struct StoredMatrix: Sendable {
  /// The elements, row-major.
  public let weights: Tensor
  /// FP16 scales `[rows, ceil(columns / 32)]` of ``WeightType/int8``.
  public let scales: Tensor?
  /// How the elements are stored.
  public let type: WeightType

  /// A matrix of `weights` `[rows, columns]` and, where they are integers, their scales.
  ///
  /// - Precondition: type and shapes fit.
  public init(weights: Tensor, scales: Tensor? = nil) {
    guard let type = WeightType(weights.dataType) else {
      preconditionFailure("weights of \(weights.dataType)")
    }
    let shape = WeightType.scalesShape(rows: weights.rows, columns: weights.columns)
    precondition(
      type == .int8
        ? scales?.dataType == .float16 && scales?.shape == shape : scales == nil,
      "scales that do not fit \(weights.shape) of \(type.rawValue)")
    self.weights = weights
    self.scales = scales
    self.type = type
  }

  /// d.
  public var rows: Int { weights.rows }
  /// h.
  public var columns: Int { weights.columns }
  /// Bytes of elements and scales.
  public var byteCount: Int { weights.byteCount + (scales?.byteCount ?? 0) }
}

/// The weights of one operation: a unit's matrices with its mask bits in a backend's own layout
/// (exactly one bit per element and mask, rows padded to whole words of 64), or several
/// projections that share their input.
public struct PackedWeights: Sendable {
  /// Rows that are stored together.
  package struct Part: Sendable {
    /// W, or the gate's and the value's.
    package let planes: [StoredMatrix]
    /// The mask bits, whose order only the backend knows.
    package let words: Tensor?
    /// Rows of each plane.
    package var rows: Int { planes[0].rows }
  }

  /// Where they are.
  package enum Storage: Sendable {
    /// Rows as they are stored, in one or several parts.
    case rows([Part])
    /// Matrices and bits as one stream in a device's own order.
    case cells(Tensor)
  }

  package let storage: Storage
  /// How the streams combine.
  public let gating: Gating
  /// The gate activation g.
  public let activation: Activation
  /// How the elements are stored.
  public let type: WeightType
  /// d.
  public let rows: Int
  /// h.
  public let columns: Int
  /// Bytes that one pass reads.
  public let byteCount: Int

  package init(
    planes: [StoredMatrix], words: Tensor?, gating: Gating, activation: Activation
  ) {
    self.init([Part(planes: planes, words: words)], gating, activation)
  }

  package init(
    cells: Tensor, rows: Int, columns: Int, type: WeightType, gating: Gating,
    activation: Activation
  ) {
    storage = .cells(cells)
    (self.gating, self.activation, self.type) = (gating, activation, type)
    (self.rows, self.columns, byteCount) = (rows, columns, cells.byteCount)
  }

  /// The rows as they are stored.
  ///
  /// - Precondition: the weights are of a backend that keeps them so.
  package var parts: [Part] {
    guard case .rows(let parts) = storage else { preconditionFailure("weights of another backend") }
    return parts
  }

  /// What is read of them, without scales, and masks that lie apart.
  package var matrices: [Tensor] {
    switch storage {
    case .rows(let parts): parts.flatMap(\.planes).map(\.weights)
    case .cells(let cells): [cells]
    }
  }

  /// `weights` one below the other, as one operation on their common input.
  ///
  /// - Precondition: at least one; all of one type, width, gating and activation.
  package init(stacked weights: [PackedWeights]) {
    let first = weights[0]
    for other in weights {
      precondition(
        other.type == first.type && other.columns == first.columns && other.gating == first.gating
          && other.activation == first.activation, "weights that are not one operation")
    }
    self.init(weights.flatMap(\.parts), first.gating, first.activation)
  }

  private init(_ parts: [Part], _ gating: Gating, _ activation: Activation) {
    let first = parts[0].planes[0]
    (storage, self.gating, self.activation) = (.rows(parts), gating, activation)
    (type, columns) = (first.type, first.columns)
    rows = parts.reduce(0) { $0 + $1.rows }
    byteCount = parts.reduce(0) { bytes, part in
      part.planes.reduce(bytes + (part.words?.byteCount ?? 0)) { $0 + $1.byteCount }
    }
  }
}
