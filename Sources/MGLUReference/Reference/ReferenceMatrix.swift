import MGLUModel

/// The element-wise product, (.) in the paper.
infix operator .* : MultiplicationPrecedence

/// A row-major matrix of float64: the only data type of the reference.
///
/// The reference trades every bit of speed for reading like the equations it checks. Operations
/// trap where shapes do not fit, because no result of theirs would mean anything.
package struct ReferenceMatrix: Sendable, Equatable {
  /// The number of rows.
  package let rows: Int
  /// The length of a row.
  package let columns: Int
  /// The elements, row after row.
  package var elements: [Double]

  /// The matrix `[rows, columns]` of `elements`, row after row.
  package init(rows: Int, columns: Int, elements: [Double]) {
    precondition(
      elements.count == rows * columns, "\(elements.count) elements for [\(rows), \(columns)]")
    self.rows = rows
    self.columns = columns
    self.elements = elements
  }

  /// The matrix `[rows, columns]` with every element `value`.
  package init(rows: Int, columns: Int, repeating value: Double = 0) {
    self.init(
      rows: rows, columns: columns, elements: [Double](repeating: value, count: rows * columns))
  }

  /// The matrix `[rows, columns]` whose element at (i, j) is `element(i, j)`.
  package init(rows: Int, columns: Int, _ element: (_ row: Int, _ column: Int) -> Double) {
    var elements: [Double] = []
    elements.reserveCapacity(rows * columns)
    for row in 0..<rows {
      for column in 0..<columns { elements.append(element(row, column)) }
    }
    self.init(rows: rows, columns: columns, elements: elements)
  }

  /// The elements of a float32 tensor; all dimensions but the innermost become rows.
  package init(_ tensor: Tensor) {
    self.init(rows: tensor.rows, columns: tensor.columns, elements: tensor.array.map(Double.init))
  }

  /// A matrix of zeros with the shape of this one.
  package var zeros: ReferenceMatrix { ReferenceMatrix(rows: rows, columns: columns) }

  /// The element at (i, j).
  package subscript(row: Int, column: Int) -> Double {
    get { elements[row * columns + column] }
    set { elements[row * columns + column] = newValue }
  }

  /// The transpose.
  package var transposed: ReferenceMatrix {
    ReferenceMatrix(rows: columns, columns: rows) { self[$1, $0] }
  }

  /// The elements rounded to float32.
  package var floats: [Float] { elements.map { Float($0) } }

  /// f of every element.
  package func map(_ f: (Double) -> Double) -> ReferenceMatrix {
    ReferenceMatrix(rows: rows, columns: columns, elements: elements.map(f))
  }

  /// The sum of the products of corresponding elements.
  package func dot(_ other: ReferenceMatrix) -> Double {
    zip(elements, other.elements).reduce(0) { $0 + $1.0 * $1.1 }
  }
}

// Parts and their assembly.
extension ReferenceMatrix {
  /// The rows in `range`.
  package func rows(_ range: Range<Int>) -> ReferenceMatrix {
    ReferenceMatrix(rows: range.count, columns: columns) { self[range.lowerBound + $0, $1] }
  }

  /// The columns in `range`.
  package func columns(_ range: Range<Int>) -> ReferenceMatrix {
    ReferenceMatrix(rows: rows, columns: range.count) { self[$0, range.lowerBound + $1] }
  }

  /// The parts `[rows / count, columns]` that lie one below the other.
  package func split(_ count: Int) -> [ReferenceMatrix] {
    let height = rows / count
    return (0..<count).map { rows($0 * height..<($0 + 1) * height) }
  }

  /// `parts`, of equal width, one below the other.
  package static func stacked(_ parts: [ReferenceMatrix]) -> ReferenceMatrix {
    ReferenceMatrix(
      rows: parts.reduce(0) { $0 + $1.rows }, columns: parts.first?.columns ?? 0,
      elements: parts.flatMap(\.elements))
  }

  /// Adds `part` to the columns from `first` on.
  package mutating func add(_ part: ReferenceMatrix, toColumnsFrom first: Int) {
    for row in 0..<part.rows {
      for column in 0..<part.columns { self[row, first + column] += part[row, column] }
    }
  }

  /// Row i times `factors[i]`.
  package func scalingRows(by factors: [Double]) -> ReferenceMatrix {
    precondition(factors.count == rows, "\(factors.count) factors for \(rows) rows")
    return ReferenceMatrix(rows: rows, columns: columns) { factors[$0] * self[$0, $1] }
  }

  /// The sum of each row.
  package var rowSums: [Double] {
    (0..<rows).map { row in (0..<columns).reduce(0) { $0 + self[row, $1] } }
  }
}

// Arithmetic.
extension ReferenceMatrix {
  /// The matrix product, `[m, k]` times `[k, n]`.
  package static func * (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
    precondition(a.columns == b.rows, "\(a.columns) columns times \(b.rows) rows")
    var c = ReferenceMatrix(rows: a.rows, columns: b.columns)
    for row in 0..<a.rows {
      for inner in 0..<a.columns {
        let factor = a[row, inner]
        for column in 0..<b.columns { c[row, column] += factor * b[inner, column] }
      }
    }
    return c
  }

  /// The element-wise product.
  package static func .* (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
    a.combined(with: b, *)
  }

  /// The sum.
  package static func + (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
    a.combined(with: b, +)
  }

  /// The difference.
  package static func - (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
    a.combined(with: b, -)
  }

  /// Adds `b`.
  package static func += (a: inout ReferenceMatrix, b: ReferenceMatrix) { a = a + b }

  /// Subtracts `b`.
  package static func -= (a: inout ReferenceMatrix, b: ReferenceMatrix) { a = a - b }

  /// The multiple by a number.
  package static func * (scale: Double, a: ReferenceMatrix) -> ReferenceMatrix {
    a.map { scale * $0 }
  }

  /// 1 - M, the complement of a mask.
  package static func - (one: Double, mask: ReferenceMatrix) -> ReferenceMatrix {
    mask.map { one - $0 }
  }

  private func combined(
    with other: ReferenceMatrix, _ f: (Double, Double) -> Double
  ) -> ReferenceMatrix {
    precondition(
      rows == other.rows && columns == other.columns,
      "[\(rows), \(columns)] against [\(other.rows), \(other.columns)]")
    return ReferenceMatrix(
      rows: rows, columns: columns, elements: zip(elements, other.elements).map(f))
  }
}
