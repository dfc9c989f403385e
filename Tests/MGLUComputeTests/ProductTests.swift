import MGLUCompute
import MGLUReference
import Testing

/// Matrix products of every implementation against float64.
@Suite struct ProductTests {
  /// k products of N(0, 1) factors err by about sqrt(k) 2^-24 of a result of size sqrt(k); float32
  /// accumulation adds a factor of a few for the depths here.
  static let bound = 2e-6

  /// m, n and k: single elements, odd sizes, exact blocks of the built-in product (strips of 6
  /// rows, depth 256, panels of 1024 columns), and one more than those.
  static let sizes = [
    (1, 1, 1), (3, 5, 7), (13, 17, 19), (6, 32, 256), (7, 33, 257), (5, 1031, 11), (97, 65, 129),
    (1, 131, 67), (131, 1, 67), (12, 1024, 512), (11, 1025, 513),
  ]

  enum Addition: CaseIterable { case nothing, another, itself }

  @Test(arguments: CPUBackend.instructionSets + ["BLAS"], sizes)
  func productsAgreeWithFloat64(name: String, size: (Int, Int, Int)) throws {
    let backend =
      name == "BLAS"
      ? try CPUBackend(threads: 2)
      : try CPUBackend(threads: 2, instructionSet: name, usesBLAS: false)
    #expect(name == "BLAS" || backend.summary.contains("built-in"))
    let (m, n, k) = size
    var random = Philox(seed: 1, purpose: .synthetic)
    let left = ReferenceMatrix.normal(rows: m, columns: k, using: &random)
    let right = ReferenceMatrix.normal(rows: k, columns: n, using: &random)
    let start = ReferenceMatrix.normal(rows: m, columns: n, using: &random)
    let product = left * right
    for (transposeLeft, transposeRight) in [
      (false, false), (false, true), (true, false), (true, true),
    ] {
      for addition in Addition.allCases {
        let (a, b, c, d) = backend.allocate { layout in
          (
            layout.tensor(transposeLeft ? [k, m] : [m, k]),
            layout.tensor(transposeRight ? [n, k] : [k, n]), layout.tensor([m, n]),
            layout.tensor([m, n])
          )
        }
        let addend: Tensor? = [.nothing: nil, .another: d, .itself: c][addition] ?? nil
        a.assign((transposeLeft ? left.transposed : left).floats)
        b.assign((transposeRight ? right.transposed : right).floats)
        // What was there before must not show unless it is added to.
        c.assign(start.floats.map { _ in .nan })
        addend?.assign(start.floats)
        switch (transposeLeft, transposeRight) {
        case (false, false): backend.multiply(a, b, into: c, adding: addend)
        case (false, true): backend.multiply(a, b.transposed, into: c, adding: addend)
        case (true, false): backend.multiply(a.transposed, b, into: c, adding: addend)
        case (true, true):
          backend.multiply(a.transposed, b.transposed, into: c, adding: addend)
        }
        backend.synchronize()
        let expected = addition == .nothing ? product : product + start
        #expect(
          relativeError(ReferenceMatrix(c), expected) < Self.bound,
          "transposed \(transposeLeft), \(transposeRight), adding \(addition)")
      }
    }
  }

  @Test func unknownInstructionSetIsAnError() {
    #expect(throws: BackendError.self) {
      try CPUBackend(threads: 1, instructionSet: "mmx", usesBLAS: false)
    }
  }
}
