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

extension StoredMatrix {
  /// Some of the rows, where they are.
  package func rows(_ range: Range<Int>) -> StoredMatrix {
    StoredMatrix(weights: weights[range], scales: scales?[range])
  }

  /// Some of the columns, copied.
  ///
  /// - Precondition: The range of an ``WeightType/int8`` matrix begins with a group.
  package func columns(_ range: Range<Int>, on host: CPUBackend) -> StoredMatrix {
    let size = WeightType.groupSize
    precondition(type != .int8 || range.lowerBound % size == 0, "columns from within a group on")
    return StoredMatrix(
      weights: weights.columns(range, on: host),
      scales: scales?.columns(
        range.lowerBound / size..<(range.upperBound + size - 1) / size, on: host))
  }
}

extension Tensor {
  /// Some of the columns of a matrix, copied.
  fileprivate func columns(_ range: Range<Int>, on host: CPUBackend) -> Tensor {
    let copy = host.allocate { $0.tensor([rows, range.count], dataType) }
    let (from, to) = (bytes, copy.bytes)
    let (stride, width) = (columns * dataType.byteCount, range.count * dataType.byteCount)
    for row in 0..<rows {
      let start = row * stride + range.lowerBound * dataType.byteCount
      UnsafeMutableRawBufferPointer(rebasing: to[row * width..<(row + 1) * width])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: from[start..<start + width]))
    }
    return copy
  }
}
