import MGLUCompute
import Testing

/// Published answers of the generator and the checksum.
@Suite struct KnownAnswerTests {
  /// One line of Random123's known-answer file for philox4x32-10.
  struct PhiloxAnswer: Sendable {
    let counter: SIMD4<UInt32>
    let key: SIMD2<UInt32>
    let answer: SIMD4<UInt32>
  }

  static let answers = [
    PhiloxAnswer(
      counter: SIMD4(repeating: 0), key: SIMD2(repeating: 0),
      answer: SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)),
    PhiloxAnswer(
      counter: SIMD4(repeating: 0xffff_ffff), key: SIMD2(repeating: 0xffff_ffff),
      answer: SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)),
    PhiloxAnswer(
      counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
      key: SIMD2(0xa409_3822, 0x299f_31d0),
      answer: SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)),
  ]

  @Test(arguments: answers)
  func philoxGivesThePublishedBlocks(known: PhiloxAnswer) {
    #expect(Philox.block(counter: known.counter, key: known.key) == known.answer)
  }

  /// Parts of a stream drawn side by side are those of the stream.
  @Test(arguments: [0, 1, 3]) func aStreamGoesOnBehindItsFirstBlocks(blocks: Int) {
    var whole = Philox(seed: 42, purpose: .synthetic, step: 7)
    var rest = Philox(
      seed: 42, purpose: .synthetic, step: 7, skippingBlocks: UInt64(blocks))
    let draws = (0..<4 * blocks + 9).map { _ in whole.nextNormal() }
    #expect((0..<9).map { _ in rest.nextNormal() } == Array(draws.dropFirst(4 * blocks)))
  }

  /// Mean and variance of n draws scatter by 1 / sqrt(n) and sqrt(2 / n): five of those.
  @Test func normalsHaveMeanZeroAndVarianceOne() {
    let count = 100_000
    var random = Philox(seed: 42, purpose: .synthetic)
    let draws = (0..<count).map { _ in Double(random.nextNormal()) }
    let mean = draws.reduce(0, +) / Double(count)
    let variance = draws.reduce(0) { $0 + $1 * $1 } / Double(count)
    #expect(abs(mean) < 5 / Double(count).squareRoot())
    #expect(abs(variance - 1) < 5 * (2 / Double(count)).squareRoot())
  }

  @Test func streamsOfOtherPurposesStepsAndSeedsDiffer() {
    func first(_ seed: UInt64, _ purpose: RandomPurpose, _ step: UInt64) -> UInt64 {
      var random = Philox(seed: seed, purpose: purpose, step: step)
      return random.next()
    }
    #expect(first(1, .data, 0) == first(1, .data, 0))
    let others = [first(2, .data, 0), first(1, .sampling, 0), first(1, .data, 1)]
    #expect(!others.contains(first(1, .data, 0)))
  }

  @Test func checksumGivesThePublishedAnswer() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xe306_9283)
    #expect(CRC32C.checksum([]) == 0)
    // RFC 3720, appendix B.4: 32 zeros, 32 ones, 0 up to 31.
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(CRC32C.checksum([UInt8](repeating: 255, count: 32)) == 0x62a8_ab43)
    #expect(CRC32C.checksum(Array(0..<32)) == 0x46dd_794e)
  }

  /// From NIST's examples of FIPS 180-4.
  @Test(arguments: [
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ])
  func hashGivesThePublishedAnswers(text: String, count: Int, answer: String) {
    // In parts of sizes that do not fit blocks.
    var hash = SHA256()
    var rest = Array(String(repeating: text, count: count).utf8)[...]
    while !rest.isEmpty {
      hash.update(rest.prefix(4001))
      rest = rest.dropFirst(4001)
    }
    #expect(hash.hexadecimal == answer)
  }
}
