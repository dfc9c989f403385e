import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct SafeTensorsTests {
  /// A file of a header and data.
  static func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    let bytes = Array(header.utf8)
    let count = length ?? UInt64(bytes.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * UInt64($0))) } + bytes
      + [UInt8](repeating: 1, count: data)
  }

  static func tensor(_ type: String, _ shape: String, _ from: String, _ to: String) -> String {
    "{\"dtype\":\"\(type)\",\"shape\":[\(shape)],\"data_offsets\":[\(from),\(to)]}"
  }

  static let hostile: [[UInt8]] = [
    [], [1, 2, 3], file("", length: 0), file("{}", length: 3), file("{}", length: 1 << 63),
    file("{}", length: .max), file("[]"), file("{"), file("\"a\""), file("{\"a\":1}"),
    file(#"{"a":\#(tensor("F32", "2", "0", "8"))}"#, data: 7),
    file(#"{"a":\#(tensor("F32", "2", "0", "8"))}"#, data: 9),
    file(#"{"a":\#(tensor("F32", "2", "8", "0"))}"#, data: 8),
    file(#"{"a":\#(tensor("F32", "2", "-8", "0"))}"#, data: 8),
    file(#"{"a":\#(tensor("F32", "-2", "0", "8"))}"#, data: 8),
    file(#"{"a":\#(tensor("F32", "3", "0", "8"))}"#, data: 8),
    file(#"{"a":\#(tensor("F99", "2", "0", "8"))}"#, data: 8),
    file(#"{"a":\#(tensor("F32", "2", "0", "1e30"))}"#, data: 8),
    file(#"{"a":\#(tensor("F32", "4294967296,4294967296", "0", "0"))}"#),
    file(#"{"a":\#(tensor("F32", "9223372036854775807,2", "0", "8"))}"#, data: 8),
    file(
      #"{"a":\#(tensor("F32", "2", "0", "8")),"b":\#(tensor("F32", "2", "4", "12"))}"#, data: 12),
    file(
      #"{"a":\#(tensor("F32", "1", "0", "4")),"b":\#(tensor("F32", "1", "8", "12"))}"#, data: 12),
    file(
      #"{"a":\#(tensor("F32", "1", "0", "4")),"a":\#(tensor("F32", "1", "4", "8"))}"#, data: 8),
    file(String(repeating: "[", count: 100_000)),
    file(#"{"a":"# + String(repeating: "{\"a\":", count: 100_000)),
  ]

  @Test(arguments: hostile.indices) func hostileFilesAreRefused(index: Int) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      try AtomicFile.write(Self.hostile[index], to: path)
      #expect(throws: CheckpointError.self) { try SafeTensors(path: path) }
    }
  }

  @Test func headersMayBeginWithWhiteSpace() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      let header = " \n\t{\"a\":\(Self.tensor("F32", "2", "0", "8"))}"
      try AtomicFile.write(Self.file(header, data: 8), to: path)
      #expect(try SafeTensors(path: path).entries.map(\.name) == ["a"])
    }
  }

  /// What Git leaves in place of a file says so, in weights and in JSON.
  @Test func pointersOfGitAreNamed() throws {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    try withTemporaryFolder { folder in
      for name in ["model.safetensors", "config.json"] {
        try AtomicFile.write(Array(pointer.utf8), to: folder + "/" + name)
      }
      for error in [
        #expect(throws: CheckpointError.self) {
          try SafeTensors(path: folder + "/model.safetensors")
        },
        #expect(throws: CheckpointError.self) { try ModelFolder.configuration(in: folder) },
      ] {
        #expect(error?.message.contains("Git LFS") == true && error?.remedy != nil)
      }
    }
  }

  /// Any damage to a valid file is an error or another valid file, and never ends the process.
  @Test func damagedFilesNeverTrap() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      let valid = Self.file(
        #"{"__metadata__":{"format":"pt"},"a":\#(Self.tensor("F32", "2,3", "0", "24")),"#
          + #""b":\#(Self.tensor("BF16", "2", "24", "28"))}"#, data: 28)
      try AtomicFile.write(valid, to: path)
      #expect(try SafeTensors(path: path).entries.map(\.name) == ["a", "b"])
      var random = Philox(seed: 9, purpose: .synthetic)
      var refused = 0
      for _ in 0..<600 {
        var bytes = valid
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8(
            truncatingIfNeeded: random.next())
        }
        if Bool.random(using: &random) {
          bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
        }
        try AtomicFile.write(bytes, to: path)
        do {
          let file = try SafeTensors(path: path)
          for entry in file.entries { _ = file.withBytes(of: entry) { $0.byteCount } }
        } catch { refused += 1 }
      }
      #expect(refused > 300)
    }
  }

  @Test func writtenTensorsAreReadBack() throws {
    try withTemporaryFolder { folder in
      let backend = try CPUBackend(threads: 1)
      let (a, empty, b) = backend.allocate {
        ($0.tensor([3, 5]), $0.tensor([0, 7]), $0.tensor([3, 5]))
      }
      a.assign((0..<15).map { Float($0) / 7 })
      let path = folder + "/x.safetensors"
      let items = [
        SafeTensorsWriter.Item(name: "a \"quoted\\ ü", tensor: a),
        SafeTensorsWriter.Item(name: "empty", tensor: empty),
      ]
      let checksum = try SafeTensorsWriter.write(items, to: path)
      #expect(try CRC32C.checksum(of: MappedFile(path: path)) == checksum)
      let file = try SafeTensors(path: path)
      try file.load("a \"quoted\\ ü", into: b)
      #expect(a.array == b.array && file["empty"]?.shape == [0, 7])
      #expect(throws: CheckpointError.self) { try file.load("a", into: b) }
      #expect(throws: CheckpointError.self) { try file.load("empty", into: b) }
    }
  }

  /// Every half and every bfloat16, against the processor's or the definition.
  @Test func halvesAreConvertedExactly() throws {
    try withTemporaryFolder { folder in
      let backend = try CPUBackend(threads: 1)
      let target = backend.allocate { $0.tensor([65536]) }
      for type in ["F16", "BF16"] {
        let header = Self.file(#"{"a":\#(Self.tensor(type, "65536", "0", "131072"))}"#)
        let data = (0..<65536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        try AtomicFile.write(header + data, to: folder + "/h.safetensors")
        try SafeTensors(path: folder + "/h.safetensors").load("a", into: target)
        let values = target.array
        for bits in 0..<65536 {
          let expected =
            type == "BF16"
            ? Float(bitPattern: UInt32(bits) << 16) : half(UInt16(bits))
          #expect(
            values[bits].bitPattern == expected.bitPattern
              || (values[bits].isNaN && expected.isNaN))
        }
      }
    }
  }

  /// IEEE 754: (-1)^s 2^(e - 15) (1 + f / 1024), or 2^-14 f / 1024 for e = 0.
  private func half(_ bits: UInt16) -> Float {
    let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023) / 1024)
    let magnitude: Float =
      if exponent == 31 {
        fraction == 0 ? .infinity : .nan
      } else if exponent == 0 {
        Float(sign: .plus, exponent: -14, significand: fraction)
      } else {
        Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction)
      }
    return bits >> 15 == 1 ? -magnitude : magnitude
  }
}
