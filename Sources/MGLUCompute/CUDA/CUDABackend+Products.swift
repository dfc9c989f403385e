// Matrix products of training, through cuBLASLt.

extension CUDABackend {
  public var productType: DataType { .bfloat16 }

  /// Rows of logits then begin on 128 bytes, as the fast algorithms want.
  public var vocabularyMultiple: Int { 64 }

  public var tunedAlgorithms: [String: String] {
    get { products?.tunedAlgorithms ?? chosen }
    set {
      chosen = newValue
      products?.tunedAlgorithms = newValue
    }
  }

  public func multiply(
    _ a: MatrixOperand, _ b: MatrixOperand, into c: Tensor, adding d: Tensor?
  ) {
    let (m, inner) = a.size
    let (depth, n) = b.size
    precondition(
      inner == depth && c.rows == m && c.columns == n && d?.count ?? c.count == c.count,
      "[\(m), \(inner)] times [\(depth), \(n)] into [\(c.rows), \(c.columns)]")
    precondition(
      a.tensor.dataType == b.tensor.dataType && d?.dataType ?? c.dataType == c.dataType,
      "\(a.tensor.dataType) times \(b.tensor.dataType) into \(c.dataType)")
    guard m > 0, n > 0, inner > 0 else { return }
    let operands = CUDAProducts.Operands(
      a: a.tensor.deviceAddress, b: b.tensor.deviceAddress, c: (d ?? c).deviceAddress,
      d: c.deviceAddress)
    let shape = ProductShape(
      rows: m, columns: n, inner: inner, transposesA: a.isTransposed, transposesB: b.isTransposed,
      type: a.tensor.dataType, resultType: c.dataType, hasAddend: d != nil,
      alignments: [operands.a, operands.b, operands.c, operands.d].map(ProductShape.alignment))
    let workspace = scratch(.products, ofBytes: CUDAProducts.workspaceBytes)
    attempt { () throws(CUDAError) in
      if products == nil {
        let made = try CUDAProducts(on: context)
        made.tunedAlgorithms = chosen
        products = made
      }
      try products?.multiply(shape, operands, workspace: workspace, on: stream)
    }
    // The library's kernels know nothing of early starts.
    orderNext()
  }
}
