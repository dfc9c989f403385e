import Foundation

/// A reader of TensorBoard's event files, written from their description: records are a length, its
/// checksum, an `Event` and its checksum; numbers are little-endian.
struct EventFile {
  /// A moment of a run: a step, and numbers by their names.
  struct Event {
    var step = 0
    var version: String?
    var scalars: [String: Float] = [:]
  }

  enum Problem: Error {
    case cutShort, checksum(Int), wireType(UInt64)
  }

  let events: [Event]

  init(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    var events: [Event] = []
    while !rest.isEmpty {
      let length = try Self.take(8, from: &rest)
      try Self.check(length, Self.take(4, from: &rest), record: events.count)
      let data = try Self.take(Int(Self.number(length)), from: &rest)
      try Self.check(data, Self.take(4, from: &rest), record: events.count)
      events.append(try Self.event(data))
    }
    self.events = events
  }

  /// CRC-32C bit by bit, from its polynomial.
  static func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0x82f6_3b78 : 0) }
    }
  }

  private static func check(
    _ bytes: ArraySlice<UInt8>, _ stored: ArraySlice<UInt8>, record: Int
  ) throws {
    let crc = crc32c(bytes)
    guard number(stored) == UInt64((crc >> 15 | crc << 17) &+ 0xa282_ead8) else {
      throw Problem.checksum(record)
    }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func take(
    _ count: Int, from rest: inout ArraySlice<UInt8>
  ) throws -> ArraySlice<UInt8> {
    guard rest.count >= count else { throw Problem.cutShort }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
    var (value, shift) = (UInt64(0), UInt64(0))
    while true {
      let byte = UInt64(try take(1, from: &rest).first ?? 0)
      value |= (byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// The fields of a message: numbers as they are, texts and messages as bytes.
  private static func fields(
    _ message: ArraySlice<UInt8>
  ) throws -> [(field: UInt64, number: UInt64, data: ArraySlice<UInt8>)] {
    var rest = message
    var fields: [(UInt64, UInt64, ArraySlice<UInt8>)] = []
    while !rest.isEmpty {
      let key = try varint(&rest)
      switch key & 7 {
      case 0: fields.append((key >> 3, try varint(&rest), []))
      case 1: fields.append((key >> 3, number(try take(8, from: &rest)), []))
      case 2:
        let count = Int(try varint(&rest))
        fields.append((key >> 3, 0, try take(count, from: &rest)))
      case 5: fields.append((key >> 3, number(try take(4, from: &rest)), []))
      default: throw Problem.wireType(key & 7)
      }
    }
    return fields
  }

  /// `Event`: 2 is the step, 3 the version, 5 a `Summary`, whose field 1 repeats a tag (1) and a
  /// number (2).
  private static func event(_ message: ArraySlice<UInt8>) throws -> Event {
    var event = Event()
    for (field, number, data) in try fields(message) {
      switch field {
      case 2: event.step = Int(number)
      case 3: event.version = String(decoding: data, as: UTF8.self)
      case 5:
        for (_, _, value) in try fields(data) {
          let parts = try fields(value)
          guard let tag = parts.first(where: { $0.field == 1 })?.data,
            let bits = parts.first(where: { $0.field == 2 })?.number
          else { throw Problem.cutShort }
          event.scalars[String(decoding: tag, as: UTF8.self)] = Float(
            bitPattern: UInt32(truncatingIfNeeded: bits))
        }
      default: break
      }
    }
    return event
  }
}
