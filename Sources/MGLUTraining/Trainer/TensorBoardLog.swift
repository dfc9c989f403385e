#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The numbers of `metrics.jsonl` as a TensorBoard event file: records of protocol buffers, each
/// framed by its length and two masked CRC-32C.
///
/// The file is written anew from the log's lines when a run goes on, so that it never tells of a
/// step twice; the moments of those lines are then that of the resume.
package final class TensorBoardLog {
  package static let fileName = "events.out.tfevents.0000000000.mglu"
  private let file: AppendingFile

  /// An event file in `folder` with the figures of `lines`.
  init(folder: String, lines: [MetricsLog.Line]) throws(FileError) {
    let path = folder + "/" + Self.fileName
    var bytes = Self.record(Self.event(step: 0) { $0.string(3, "brain.Event:2") })
    for line in lines { bytes += Self.record(Self.event(of: line)) }
    try AtomicFile.write(bytes, to: path)
    file = try AppendingFile(path: path)
  }

  /// Appends the numbers of `line`.
  func append(_ line: MetricsLog.Line) throws(FileError) {
    try file.append(Self.record(Self.event(of: line)))
  }

  /// Makes the appended events survive a power cut.
  func sync() throws(FileError) { try file.sync() }

  /// Length, its checksum, the data, their checksum.
  private static func record(_ data: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(data.count))
    return length + littleEndian(masked(length)) + data + littleEndian(masked(data))
  }

  /// CRC-32C as TFRecord stores it: rotated and shifted by a constant.
  private static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = CRC32C.checksum(bytes)
    return (crc >> 15 | crc << 17) &+ 0xa282_ead8
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private static func event(step: Int, _ body: (inout ProtocolBuffer) -> Void) -> [UInt8] {
    var event = ProtocolBuffer()
    event.double(1, Date().timeIntervalSince1970)
    event.integer(2, step)
    body(&event)
    return event.bytes
  }

  private static func event(of line: MetricsLog.Line) -> [UInt8] {
    event(step: line.step) { event in
      var summary = ProtocolBuffer()
      for (tag, number) in line.scalars {
        var value = ProtocolBuffer()
        value.string(1, tag)
        value.float(2, Float(number))
        summary.message(1, value)
      }
      event.message(5, summary)
    }
  }
}

/// A message of protocol buffers, as far as event files need it.
private struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func key(_ field: Int, type: Int) { varint(UInt64(field << 3 | type)) }

  mutating func integer(_ field: Int, _ value: Int) {
    key(field, type: 0)
    varint(UInt64(bitPattern: Int64(value)))
  }

  mutating func double(_ field: Int, _ value: Double) {
    key(field, type: 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) }
  }

  mutating func float(_ field: Int, _ value: Float) {
    key(field, type: 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) }
  }

  mutating func string(_ field: Int, _ value: String) { data(field, Array(value.utf8)) }

  mutating func message(_ field: Int, _ value: ProtocolBuffer) { data(field, value.bytes) }

  private mutating func data(_ field: Int, _ value: [UInt8]) {
    key(field, type: 2)
    varint(UInt64(value.count))
    bytes += value
  }
}

extension MetricsLog.Line {
  /// The numbers by their names in TensorBoard.
  fileprivate var scalars: [(String, Double)] {
    let plain: [(String, Double?)] = [
      ("loss/training", loss), ("loss/validation", validationLoss),
      ("loss/bits_per_byte", bitsPerByte), ("optimizer/learning_rate", learningRate),
      ("optimizer/gradient_norm", gradientNorm), ("speed/tokens_per_second", tokensPerSecond),
    ]
    let masks: [(String, [Double]?)] = [
      ("mask_ones", maskOnes), ("mask_flips_per_100_steps", maskFlips),
      ("mask_near_zero", maskNearZero),
    ]
    return plain.compactMap { name, value in value.map { (name, $0) } }
      + masks.flatMap { name, values in
        (values ?? []).enumerated().map { ("\(name)/layer_\($0.offset)", $0.element) }
      }
  }
}
