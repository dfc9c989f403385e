import MGLUModel

/// The loss, and the steps of the optimizer.
extension Verification {
  func losses() -> Finding {
    trainingFinding("loss") { twins, finding in
      // Padded or not, odd or not, rows that shared memory holds and one that it does not.
      for (vocabulary, width) in [
        (1, 1), (41, 64), (37, 37), (257, 320), (5001, 5001), (50257, 50304), (128_256, 128_256),
      ] {
        for scale in [Float(0), 0.01] {
          let rows = width > 50_000 ? 3 : 6
          let logits = twins.normal([rows, width], twins.narrow, scale: 3)
          let targets = twins.integers(
            (0..<rows).map { $0 % 3 == 1 ? -1 : Int32($0 * 7919 % vocabulary) })
          let losses = twins.output([rows])
          twins.compute { on in
            on.backend.crossEntropy(
              on[logits], vocabulary: vocabulary, targets: on[targets], losses: on[losses],
              gradientScale: scale)
          }
          let name = "\(vocabulary) of \(width), scale \(scale)"
          try twins.compare(losses, in: &finding, name)
          // Without a scale what is left of the logits is of no use.
          guard scale != 0 else { continue }
          try twins.compare(logits, roundings: 1, in: &finding, name + ", gradient")
        }
      }
    }
  }

  /// Teachers of wider and narrower rows, hot and cold, alone and beside the text.
  func distillations() -> Finding {
    trainingFinding("distillation") { twins, finding in
      for (vocabulary, width, teacherWidth) in [
        (1, 1, 1), (41, 64, 48), (37, 37, 37), (257, 320, 257), (50257, 50304, 50304),
      ] {
        for (share, temperature) in [(Float(0.5), Float(1)), (1, 2), (0.25, 0.5), (0, 3)] {
          let rows = width > 50_000 ? 3 : 6
          let logits = twins.normal([rows, width], twins.narrow, scale: 3)
          let teacher = twins.normal([rows, teacherWidth], twins.narrow, scale: 3)
          let targets = twins.integers(
            (0..<rows).map { $0 % 3 == 1 ? -1 : Int32($0 * 7919 % vocabulary) })
          let losses = twins.output([rows])
          twins.compute { on in
            on.backend.distill(
              on[logits], teacher: on[teacher], vocabulary: vocabulary, targets: on[targets],
              losses: on[losses], gradientScale: 0.01,
              Distillation(share: share, temperature: temperature))
          }
          let name =
            "\(vocabulary) of \(width) and \(teacherWidth), share \(share) at \(temperature)"
          try twins.compare(losses, in: &finding, name)
          try twins.compare(logits, roundings: 1, in: &finding, name + ", gradient")
        }
      }
    }
  }

  /// Steps with and without clipping, and one of a norm that is no number, which must change nothing.
  func optimizerSteps() -> Finding {
    trainingFinding("AdamW") { twins, finding in
      let count = 2051
      // A vector may begin at any element.
      for first in [0, 1] {
        func part(_ twin: Twin<Tensor>) -> Twin<Tensor> { twin.map { $0[first..<count] } }
        let weights = part(twins.normal([count]))
        let moments = (part(twins.normal([count], scale: 0)), part(twins.normal([count], scale: 0)))
        let copy = twins.narrow == .float32 ? nil : part(twins.output([count], twins.narrow)).found
        for (step, norm, clip) in [
          (1, 1.0, Float(0)), (2, 1e4, 1), (3, .infinity, 1), (3, .nan, 1), (3, 0.25, 1),
          (900, 1e4, 0.5),
        ] {
          let gradient = part(twins.normal([count]))
          let squaredNorm = twins.double(norm)
          let step = AdamWStep(
            learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1,
            step: step, clipNorm: clip)
          twins.compute { on in
            on.backend.adamW(
              on[weights], gradient: on[gradient], firstMoment: on[moments.0],
              secondMoment: on[moments.1],
              copy: on.backend.productType == .float32 ? nil : copy,
              squaredNorm: on[squaredNorm], step: step)
          }
          let name = "from \(first), step \(step.step), squared norm \(norm), clip \(clip)"
          try twins.compare(weights, in: &finding, name)
          try twins.compare(gradient, in: &finding, name + ", gradient")
          try twins.compare(moments.0, in: &finding, name + ", first moment")
          try twins.compare(moments.1, in: &finding, name + ", second moment")
          guard let copy else { continue }
          try twins.compare(
            Twin(found: copy, expected: weights.expected), roundings: 1, in: &finding,
            name + ", copy")
        }
      }
    }
  }

  func squares() -> Finding {
    trainingFinding("sum of squares") { twins, finding in
      for (first, count) in [(0, 1), (0, 1003), (1, 1003), (0, 1_000_003), (3, 300_003)] {
        let x = twins.normal([count]).map { $0[min(first, count - 1)..<count] }
        let sum = twins.double(7)
        twins.compute { on in on.backend.sumOfSquares(on[x], into: on[sum]) }
        let found = twins.double(sum.found)
        let expected = withExtendedLifetime(sum) { sum.expected.doubles[0] }
        try twins.backend.finish()
        // In float64 throughout.
        finding.add(
          error: abs(found - expected) / expected, bound: 1e-12, "\(count) from \(first)")
      }
    }
  }

  /// Of rows of every width, with and without what is subtracted and scales, in place and not.
  func differences() -> Finding {
    trainingFinding("scaled difference") { twins, finding in
      for (rows, width) in [(1, 1), (9, 37), (17, 264), (3, 1003)] {
        let x = twins.normal([rows, width], twins.narrow)
        let y = twins.normal([rows, width], twins.narrow)
        let scales = twins.normal([rows])
        for type in Set([twins.narrow, .float32]) {
          for (subtracts, isScaled) in [(true, true), (true, false), (false, true)] {
            let e = twins.output([rows, width], type)
            twins.compute { on in
              on.backend.scaledDifference(
                on[x], subtracts ? on[y] : nil, rowScales: isScaled ? on[scales] : nil,
                into: on[e])
            }
            try twins.compare(
              e, roundings: type == .float32 ? 0 : 1, in: &finding,
              "[\(rows), \(width)] into \(type), y \(subtracts), scales \(isScaled)")
          }
        }
        twins.compute { on in
          on.backend.scaledDifference(on[x], on[y], rowScales: on[scales], into: on[x])
        }
        try twins.compare(x, roundings: 1, in: &finding, "[\(rows), \(width)] in place")
      }
    }
  }

  /// To the nearest, of two the even: the same bits.
  func conversions() -> Finding {
    trainingFinding("conversion") { twins, finding in
      for (first, count) in [(0, 1), (0, 1003), (1, 1003), (0, 8192)] {
        var random = Philox(seed: 23, purpose: .synthetic)
        let values = (0..<count).map { index in
          // Every other number lies half-way between two of BF16.
          let number = random.nextNormal()
          return index % 2 == 0
            ? number : Float(bitPattern: number.bitPattern & 0xffff_0000 | 0x8000)
        }
        let source = twins.tensor([count], .float32, values)
        let target = twins.output([count], twins.narrow)
        twins.backend.convert(
          source.found[min(first, count - 1)..<count],
          into: target.found[min(first, count - 1)..<count])
        let found = twins.floats(target.found).dropFirst(min(first, count - 1))
        try twins.backend.finish()
        let expected = twins.tensor([count], twins.narrow, values).expected.array
          .dropFirst(min(first, count - 1))
        finding.add(
          error: found == expected ? 0 : .infinity, bound: 1, "\(count) from \(first)")
      }
    }
  }
}
