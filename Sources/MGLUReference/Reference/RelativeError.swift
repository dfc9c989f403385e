/// How far `result` is from `reference`: ||a - b|| / ||b|| in the Euclidean norm over all elements.
///
/// Infinite where the two differ in shape, where anything is not finite, and where the reference
/// is zero, because such a comparison would say nothing.
///
/// - Parameters:
///   - result: What was computed.
///   - reference: What it should be.
///   - floor: The least norm to divide by, for a reference that vanishes by cancellation; 0 asks
///     for an honest relative error.
package func relativeError(
  _ result: ReferenceMatrix, _ reference: ReferenceMatrix, floor: Double = 0
) -> Double {
  guard result.rows == reference.rows, result.columns == reference.columns else {
    return .infinity
  }
  let difference = result - reference
  let norm = max(reference.dot(reference).squareRoot(), floor)
  let error = difference.dot(difference).squareRoot() / norm
  return error.isFinite && norm > 0 ? error : .infinity
}
