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
    precondition(qkv.columns == shape.rowWidth && output.columns == shape.queryWidth)
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
        self.scores(heads, rows: rows, firstPosition: rows.lowerBound, into: scores)
        let statistics = logSumExp.floats + (sequence * shape.heads + head) * length
        for row in rows {
          statistics[row] = kernels.softmax_row(
            scores + (row - rows.lowerBound) * rows.upperBound, shape.scale, Int64(row + 1),
            Int64(rows.upperBound))
        }
        perform(
          MatrixProduct(
            m: rows.count, n: shape.headSize, k: rows.upperBound, a: scores,
            lda: rows.upperBound, b: heads.value, ldb: shape.rowWidth,
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
    precondition(qkv.columns == shape.rowWidth && qkvGradient.count == qkv.count)
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
    let (count, keys) = (rows.count, rows.upperBound)
    let dOutput = upstream + rows.lowerBound * width
    scores(heads, rows: rows, firstPosition: rows.lowerBound, into: p)
    // dP = dO V^T
    perform(
      MatrixProduct(
        transposeB: true, m: count, n: keys, k: size, a: dOutput, lda: width, b: heads.value,
        ldb: shape.rowWidth, c: dp, ldc: keys))
    // dV += P^T dO
    for row in 0..<count {
      kernels.probability_row(
        p + row * keys, shape.scale, logSumExp[rows.lowerBound + row],
        Int64(rows.lowerBound + row + 1), Int64(keys))
    }
    perform(
      MatrixProduct(
        transposeA: true, m: keys, n: size, k: count, a: p, lda: keys, b: dOutput, ldb: width,
        accumulate: true, c: gradients.value, ldc: shape.rowWidth))
    // dS = P (.) (dP - rowsum(dO (.) O)) * scale; P is 0 beyond the diagonal, and so is dS.
    for row in 0..<count {
      let delta = kernels.dot(
        dOutput + row * width, output + (rows.lowerBound + row) * width, Int64(size))
      kernels.softmax_row_backward(
        p + row * keys, dp + row * keys, delta, shape.scale, Int64(keys))
    }
    // dQ = dS K, dK += dS^T Q
    perform(
      MatrixProduct(
        m: count, n: size, k: keys, a: dp, lda: keys, b: heads.key, ldb: shape.rowWidth,
        c: gradients.query + rows.lowerBound * shape.rowWidth, ldc: shape.rowWidth))
    perform(
      MatrixProduct(
        transposeA: true, m: keys, n: size, k: count, a: dp, lda: keys,
        b: heads.query + rows.lowerBound * shape.rowWidth, ldb: shape.rowWidth, accumulate: true,
        c: gradients.key, ldc: shape.rowWidth))
  }

  /// Q K^T of a block of rows over every key up to the block's last position.
  private func scores(
    _ heads: HeadPointers, rows: Range<Int>, firstPosition: Int,
    into scores: UnsafeMutablePointer<Float>
  ) {
    let width = firstPosition + rows.count
    perform(
      MatrixProduct(
        transposeB: true, m: rows.count, n: width, k: heads.size,
        a: heads.query + rows.lowerBound * heads.queryStride, lda: heads.queryStride,
        b: heads.key, ldb: heads.stride, c: scores, ldc: width))
  }

  /// `capacity` floats of scratch for each thread, one after the other.
  private func withScratch(_ capacity: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: capacity * threadCount) {
      body($0.baseAddress!)
    }
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
