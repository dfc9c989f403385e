import MGLUModel

extension SafeTensors {
  /// The float64 tensor called `name`; all dimensions but the innermost become rows. `nil` where
  /// there is none of that name and type.
  package func matrix(_ name: String) -> ReferenceMatrix? {
    guard let entry = self[name], entry.dataType == .float64 else { return nil }
    let columns = entry.shape.last ?? 1
    let elements = withBytes(of: entry) { bytes in
      stride(from: 0, to: bytes.byteCount, by: 8).map {
        Double(
          bitPattern: UInt64(
            littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: $0, as: UInt64.self)))
      }
    }
    return ReferenceMatrix(
      rows: entry.shape.dropLast().reduce(1, *), columns: columns, elements: elements)
  }
}
