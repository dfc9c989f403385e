import CMGLUKernels
import MGLUCompute
import Testing

/// What checkpoints keep of products, without a GPU.
@Suite struct CUDAProductTests {
  @Test func algorithmsAreTheSameAfterTheirText() throws {
    var algorithm = cmglu_lt_algorithm()
    withUnsafeMutableBytes(of: &algorithm) { bytes in
      for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index * 37 + 9) }
    }
    let text = algorithm.hexadecimal
    #expect(text.count == 128 && text.hasPrefix("092e53"))
    let same = try #require(cmglu_lt_algorithm(hexadecimal: text))
    #expect(same.hexadecimal == text)
    for broken in ["", String(text.dropLast()), text + "0", "g" + text.dropFirst()] {
      #expect(cmglu_lt_algorithm(hexadecimal: broken) == nil, "\(broken)")
    }
  }

  /// At most what every tensor begins at.
  @Test func alignmentsArePowersOfTwo() {
    let addresses: [UInt64] = [2, 6, 16, 48, 64, 256, 1 << 40]
    #expect(addresses.map(ProductShape.alignment) == [2, 2, 16, 16, 64, 64, 64])
  }
}
