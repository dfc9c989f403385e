import MGLUReference
import Testing

/// The measure that every comparison rests on must not pass what says nothing.
@Suite struct RelativeErrorTests {
  static let reference = ReferenceMatrix(rows: 1, columns: 2, elements: [3, 4])

  @Test func errorIsRelativeToTheNorm() {
    let result = ReferenceMatrix(rows: 1, columns: 2, elements: [3, 4.5])
    #expect(relativeError(result, Self.reference) == 0.1)
    #expect(relativeError(result, Self.reference, floor: 50) == 0.01)
    #expect(relativeError(Self.reference, Self.reference) == 0)
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity])
  func whatIsNotFiniteFails(value: Double) {
    let odd = ReferenceMatrix(rows: 1, columns: 2, elements: [3, value])
    #expect(relativeError(odd, Self.reference) == .infinity)
    #expect(relativeError(Self.reference, odd) == .infinity)
    #expect(relativeError(odd, odd) == .infinity)
  }

  @Test func zeroReferencesAndOtherShapesFail() {
    let zero = Self.reference.zeros
    #expect(relativeError(zero, zero) == .infinity)
    #expect(relativeError(Self.reference, Self.reference.transposed) == .infinity)
  }
}
