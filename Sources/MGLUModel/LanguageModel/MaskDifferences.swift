extension LanguageModel {
  /// The share of bits in each mask that differ from `other`'s, layer by layer: how far the masks
  /// of a run moved between two checkpoints. Empty for layers without masks.
  public func maskDifferences(from other: LanguageModel) throws(CheckpointError) -> [[Double]] {
    let (own, others) = (masks, other.masks)
    guard own.map(\.shape) == others.map(\.shape) else {
      func text(_ masks: [Tensor]) -> String {
        masks.first.map { "\(masks.count) layers with masks \($0.shape)" } ?? "no masks"
      }
      throw CheckpointError(
        .disagreement, "the models have \(text(others)) and \(text(own))",
        remedy: "give two checkpoints of one run, or two runs of one shape")
    }
    return zip(own, others).map { own, other in
      let size = own.count / own.shape[0]
      return own.withFloats { a in
        other.withFloats { b in
          (0..<own.shape[0]).map { mask in
            var changed = 0
            for index in mask * size..<(mask + 1) * size where (a[index] > 0) != (b[index] > 0) {
              changed += 1
            }
            return Double(changed) / Double(size)
          }
        }
      }
    }
  }

  private var masks: [Tensor] {
    weights.layers.compactMap { $0.unit.masked?.maskLogits }
  }
}
