// The sampling of tokens from logits, and their log-probabilities.

extension CPUBackend {
  public func adjust(
    _ logits: Tensor, vocabulary: Int, by adjustments: Tensor, starts: Tensor, into adjusted: Tensor
  ) {
    copy(logits, into: adjusted)
    let words = adjustments.integers
    for row in 0..<logits.rows {
      let first = row * logits.columns
      for index in Int(starts.integers[row])..<Int(starts.integers[row + 1]) {
        let change = LogitAdjustment(elements: words + index * LogitAdjustment.elementCount)
        guard case let token = Int(change.token), 0..<vocabulary ~= token else { continue }
        adjusted.floats[first + token] = change.applied(to: logits.floats[first + token])
      }
    }
  }

  public func sample(
    _ logits: Tensor, vocabulary: Int, by steps: Tensor, into tokens: Tensor,
    preparing next: NextRows?
  ) {
    for row in 0..<logits.rows {
      let step = steps[row..<row + 1].withFloats { SamplingStep(elements: $0) }
      let token = hostSampler.withLock { sampler in
        logits[row..<row + 1].withFloats {
          sampler.token(of: $0.extracting(0..<vocabulary), by: step)
        }
      }
      tokens.integers[row] = token
      guard let next else { continue }
      // Where there is no token another is read, as a GPU's kernels do; nobody looks at what follows.
      next.tokens.integers[row] = max(token, 0)
      next.positions.integers[row] = next.previous.integers[row] + 1
    }
  }

  public func logprobs(
    _ logits: Tensor, vocabulary: Int, of targets: Tensor, into logprobs: Tensor, largest: Tensor
  ) {
    let top = largest.columns
    pool.forEachRange(of: logits.rows, grain: max(1, 4096 / logits.columns)) { rows in
      for row in rows {
        logits[row..<row + 1].withFloats { all in
          let values = all.extracting(0..<vocabulary)
          let normalizer = logSumExp(values)
          func logprob(_ token: Int) -> Float {
            values.indices.contains(token) ? values[token] - normalizer : .nan
          }
          logprobs.floats[row * (top + 1)] = logprob(Int(targets.integers[row]))
          let found = Self.largest(top, of: values)
          for rank in 0..<top {
            let token = rank < found.count ? found[rank] : -1
            largest.integers[row * top + rank] = Int32(token)
            logprobs.floats[row * (top + 1) + 1 + rank] = logprob(token)
          }
        }
      }
    }
  }

  /// The indices of the `count` largest values, the largest first; of equal ones the lower first.
  private static func largest(_ count: Int, of values: Span<Float>) -> [Int] {
    var best: [Int] = []
    guard count > 0 else { return best }
    for index in values.indices {
      if best.count == count {
        guard values[index] > values[best[count - 1]] else { continue }
        best.removeLast()
      }
      if values[index].isNaN { continue }
      let place = best.firstIndex { values[index] > values[$0] } ?? best.count
      best.insert(index, at: place)
    }
    return best
  }
}
