import CMGLUKernels

// Causal attention of whole sequences in blocks of query rows: scores of one block at a time, so that
// memory is linear in the length, and products over strided heads without copying them.

extension CPUBackend {
  /// Query rows of a block: enough for an efficient product, few enough to stay in cache.
  private static let block = 64

  public func attention(
    _ qkv: Tensor, shape: AttentionShape, length: Int, into output: Tensor, logSumExp: Tensor
  ) {
    let sequences = qkv.rows / length
    precondition(
      qkv.columns == shape.rowWidth && output.columns == shape.queryWidth,
      "rows of \(qkv.columns) and \(output.columns) for \(shape)")
    let blocks = (length + Self.block - 1) / Self.block
    withScratch(Self.block * length) { scratch in
      pool.forEach(sequences * shape.heads * blocks) { item, member in
        let (sequence, rest) = item.quotientAndRemainder(dividingBy: shape.heads * blocks)
        let head = rest / blocks
        // The longest rows first, so that no thread is left with them at the end.
        let first = (blocks - 1 - rest % blocks) * Self.block
        let rows = first..<min(first + Self.block, length)
        let scores = scratch + member * Self.block * length
        let heads = HeadPointers(qkv, shape, row: sequence * length, head: head)
        let keys = VisibleKeys(rows, shape)
        self.scores(heads, rows: rows, keys: keys, into: scores)
        let statistics = logSumExp.floats + (sequence * shape.heads + head) * length
        for row in rows {
          let (own, visible) = keys.clear(outside: row, in: scores)
          statistics[row] = kernels.softmax_row(
            own + visible.lowerBound, shape.scale, Int64(visible.count),
            Int64(keys.count - visible.lowerBound))
        }
        perform(
          MatrixProduct(
            m: rows.count, n: shape.headSize, k: keys.count, a: scores, lda: keys.count,
            b: heads.value + keys.first * shape.rowWidth, ldb: shape.rowWidth,
            c: output.floats + (sequence * length + rows.lowerBound) * shape.queryWidth
              + head * shape.headSize, ldc: shape.queryWidth))
      }
    }
  }

  public func attentionBackward(
    _ upstream: Tensor, qkv: Tensor, output: Tensor, logSumExp: Tensor, shape: AttentionShape,
    length: Int, qkvGradient: Tensor
  ) {
    let sequences = qkv.rows / length
    precondition(
      qkv.columns == shape.rowWidth && qkvGradient.count == qkv.count,
      "rows of \(qkv.columns) for \(shape), or a gradient of another size")
    clear(qkvGradient)
    let group = shape.heads / shape.kvHeads
    let area = Self.block * length
    withScratch(2 * area) { scratch in
      // One item owns a key-value head of a sequence: its gradients add up over the query heads
      // of the group and over the blocks in a fixed order.
      pool.forEach(sequences * shape.kvHeads) { item, member in
        let (sequence, kvHead) = item.quotientAndRemainder(dividingBy: shape.kvHeads)
        let p = scratch + member * 2 * area
        for head in kvHead * group..<(kvHead + 1) * group {
          let heads = HeadPointers(qkv, shape, row: sequence * length, head: head)
          let gradients = HeadPointers(qkvGradient, shape, row: sequence * length, head: head)
          let offset = sequence * length * shape.queryWidth + head * shape.headSize
          let statistics = logSumExp.floats + (sequence * shape.heads + head) * length
          for first in stride(from: 0, to: length, by: Self.block) {
            backwardBlock(
              rows: first..<min(first + Self.block, length), shape: shape, heads: heads,
              gradients: gradients, upstream: upstream.floats + offset,
              output: output.floats + offset, logSumExp: statistics, p: p, dp: p + area)
          }
        }
      }
    }
  }

  /// The gradients that one block of query rows sends to its queries, keys and values.
  private func backwardBlock(
    rows: Range<Int>, shape: AttentionShape, heads: HeadPointers, gradients: HeadPointers,
    upstream: UnsafePointer<Float>, output: UnsafePointer<Float>,
    logSumExp: UnsafePointer<Float>, p: UnsafeMutablePointer<Float>,
    dp: UnsafeMutablePointer<Float>
  ) {
    let (size, width) = (shape.headSize, shape.queryWidth)
    let visible = VisibleKeys(rows, shape)
    let (count, keys) = (rows.count, visible.count)
    // Where the first of these keys and its value lie in a row of queries, keys and values.
    let offset = visible.first * shape.rowWidth
    let dOutput = upstream + rows.lowerBound * width
    scores(heads, rows: rows, keys: visible, into: p)
    // dP = dO V^T
    perform(
      MatrixProduct(
        transposeB: true, m: count, n: keys, k: size, a: dOutput, lda: width,
        b: heads.value + offset, ldb: shape.rowWidth, c: dp, ldc: keys))
    // dV += P^T dO
    for row in rows {
      let (own, seen) = visible.clear(outside: row, in: p)
      kernels.probability_row(
        own + seen.lowerBound, shape.scale, logSumExp[row], Int64(seen.count),
        Int64(keys - seen.lowerBound))
    }
    perform(
      MatrixProduct(
        transposeA: true, m: keys, n: size, k: count, a: p, lda: keys, b: dOutput, ldb: width,
        accumulate: true, c: gradients.value + offset, ldc: shape.rowWidth))
    // dS = P (.) (dP - rowsum(dO (.) O)) * scale; P is 0 where a row sees nothing, and so is dS.
    for row in 0..<count {
      let delta = kernels.dot(
        dOutput + row * width, output + (rows.lowerBound + row) * width, Int64(size))
      kernels.softmax_row_backward(
        p + row * keys, dp + row * keys, delta, shape.scale, Int64(keys))
    }
    // dQ = dS K, dK += dS^T Q
    perform(
      MatrixProduct(
        m: count, n: size, k: keys, a: dp, lda: keys, b: heads.key + offset, ldb: shape.rowWidth,
        c: gradients.query + rows.lowerBound * shape.rowWidth, ldc: shape.rowWidth))
    perform(
      MatrixProduct(
        transposeA: true, m: keys, n: size, k: count, a: dp, lda: keys,
        b: heads.query + rows.lowerBound * shape.rowWidth, ldb: shape.rowWidth, accumulate: true,
        c: gradients.key + offset, ldc: shape.rowWidth))
  }

  /// Q K^T of a block of rows over every key that one of them sees.
  private func scores(
    _ heads: HeadPointers, rows: Range<Int>, keys: VisibleKeys,
    into scores: UnsafeMutablePointer<Float>
  ) {
    perform(
      MatrixProduct(
        transposeB: true, m: rows.count, n: keys.count, k: heads.size,
        a: heads.query + rows.lowerBound * heads.queryStride, lda: heads.queryStride,
        b: heads.key + keys.first * heads.stride, ldb: heads.stride, c: scores, ldc: keys.count))
  }

  /// `capacity` floats of scratch for each thread, one after the other.
  private func withScratch(_ capacity: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: capacity * threadCount) {
      body($0.baseAddress!)
    }
  }
}

/// The keys that a block of query rows sees: those from the window of its first row on.
private struct VisibleKeys {
  let rows: Range<Int>
  let shape: AttentionShape
  /// The position of the first key.
  let first: Int
  /// How many there are, up to the block's last position.
  var count: Int { rows.upperBound - first }

  init(_ rows: Range<Int>, _ shape: AttentionShape) {
    (self.rows, self.shape) = (rows, shape)
    first = shape.firstVisible(from: rows.lowerBound)
  }

  /// The scores of the query `row`, and which of them it sees; those before its window become 0.
  func clear(
    outside row: Int, in scores: UnsafeMutablePointer<Float>
  ) -> (scores: UnsafeMutablePointer<Float>, visible: Range<Int>) {
    let own = scores + (row - rows.lowerBound) * count
    let start = shape.firstVisible(from: row) - first
    own.update(repeating: 0, count: start)
    return (own, start..<row + 1 - first)
  }
}

/// Where the queries, keys and values of one head begin, and how far apart their rows lie.
private struct HeadPointers {
  let query: UnsafeMutablePointer<Float>
  let queryStride: Int
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  let stride: Int
  let size: Int
}

extension HeadPointers {
  /// The head in the packed rows of qkv that begin at `row`.
  fileprivate init(_ qkv: Tensor, _ shape: AttentionShape, row: Int, head: Int) {
    let base = qkv.floats + row * shape.rowWidth
    let kvHead = head / (shape.heads / shape.kvHeads)
    query = base + head * shape.headSize
    queryStride = shape.rowWidth
    key = base + shape.queryWidth + kvHead * shape.headSize
    value = key + shape.kvWidth
    stride = shape.rowWidth
    size = shape.headSize
  }
}
