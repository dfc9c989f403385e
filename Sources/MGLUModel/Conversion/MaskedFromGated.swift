extension LanguageModel {
  /// An MGLU of `masks` masks in place of a GLU, to be trained further, and for each layer how far
  /// its matrices are from the GLU's.
  ///
  /// Each element (j, k) of W and its masks are chosen on their own, so that every gate is near the
  /// GLU's and the values together are near its value. With c of the n masks 1 that is to minimize
  ///
  ///     c (w - Wg)^2 + (n - c) Wg^2 + ((n - c) w - Wv)^2
  ///
  /// over w, which is a linear least squares problem, and over c, all n + 1 of which are tried. The
  /// c masks begin at mask (j + k) mod n, so that the masks differ and share the ones evenly. The
  /// error is the root of the sum of these minima over that of n Wg^2 + Wv^2.
  public func maskedFromGated(
    masks: Int
  ) throws(CheckpointError) -> (model: LanguageModel, errors: [Double]) {
    // Its W is the GLU's value until it is chosen.
    let result = try maskedCopy(masks: masks)
    var errors: [Double] = []
    for (from, to) in zip(weights.layers, result.weights.layers) {
      guard let masked = to.unit.masked else { continue }
      let matrices = from.unit.matrices
      errors.append(masked.assign(gate: matrices[0], value: matrices[1]))
    }
    result.upload()
    return (result, errors)
  }

  /// An MGLU of `masks` masks in place of a GLU, with all other parameters of this model on the host;
  /// its mask logits are zero.
  package func maskedCopy(masks: Int) throws(CheckpointError) -> LanguageModel {
    let result: LanguageModel
    let target = try configuration.masked(masks)
    do { result = try LanguageModel(target, on: backend) } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    result.copySharedParameters(of: self)
    return result
  }
}

extension ModelConfiguration {
  /// The configuration with an MGLU of `masks` masks in place of a GLU.
  package func masked(_ masks: Int) throws(CheckpointError) -> ModelConfiguration {
    guard feedForward.unit == .glu else {
      throw CheckpointError(
        .notExportable, "only a GLU has a gate and a value to be masked",
        remedy: "give a SwiGLU, or keep the unit")
    }
    var target = self
    target.feedForward.unit = .mglu(MaskConfiguration(count: masks))
    do { try target.validate() } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    return target
  }
}

extension MaskedGatedLinearUnit {
  /// The size of a logit that was chosen: that of one that is drawn, so that training can flip it.
  private static var logitSize: Float { 0.01 }

  /// Chooses every element and its masks; returns the relative error.
  fileprivate func assign(gate: Tensor, value: Tensor) -> Double {
    let (count, columns, n) = (weight.count, weight.columns, maskCount)
    var (error, total) = (0.0, 0.0)
    for index in 0..<count {
      let (g, v) = (Double(gate.floats[index]), Double(value.floats[index]))
      let best = MaskedElement.best(gate: g, value: v, masks: n)
      weight.floats[index] = Float(best.weight)
      let first = index / columns + index % columns
      for offset in 0..<n {
        let logit = offset < best.ones ? Self.logitSize : -Self.logitSize
        maskLogits.floats[(first + offset) % n * count + index] = logit
      }
      error += best.error
      total += Double(n) * g * g + v * v
    }
    return total > 0 ? (error / total).squareRoot() : 0
  }
}

/// An element of W, and how many of its masks are 1.
package struct MaskedElement: Equatable {
  package let weight: Double
  package let ones: Int
  package let error: Double

  /// The element nearest to a gate's and a value's; of equal ones that with fewer ones.
  package static func best(gate: Double, value: Double, masks: Int) -> MaskedElement {
    var best = MaskedElement(weight: 0, ones: 0, error: .infinity)
    for ones in 0...masks {
      let (c, rest) = (Double(ones), Double(masks - ones))
      let w = (c * gate + rest * value) / (c + rest * rest)
      let (gateError, valueError) = (w - gate, rest * w - value)
      let error = c * gateError * gateError + rest * gate * gate + valueError * valueError
      if error < best.error { best = MaskedElement(weight: w, ones: ones, error: error) }
    }
    return best
  }
}
