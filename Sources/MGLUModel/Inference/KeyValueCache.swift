/// Rotated keys and values of one layer, `[kvHeads, capacity, headSize]` each.
struct KeyValueCache: Sendable {
  let keys: Tensor
  let values: Tensor

  /// Most positions.
  var capacity: Int { keys.shape[1] }

  init(_ shape: AttentionShape, capacity: Int, in layout: inout ArenaLayout) {
    keys = layout.tensor([shape.kvHeads, capacity, shape.headSize])
    values = layout.tensor([shape.kvHeads, capacity, shape.headSize])
  }

  /// Copies the entries of `positions`, head by head.
  func copy(
    _ positions: Range<Int>, into other: KeyValueCache, on backend: any InferenceBackend
  ) {
    let (heads, capacity, size) = (keys.shape[0], keys.shape[1], keys.shape[2])
    for head in 0..<heads {
      let rows = head * capacity + positions.lowerBound..<head * capacity + positions.upperBound
      for (source, target) in [(keys, other.keys), (values, other.values)] {
        backend.copy(
          source.reshaped([heads * capacity, size])[rows],
          into: target.reshaped([heads * capacity, size])[rows])
      }
    }
  }
}

/// The memory of one sequence at a time: a key-value cache for each layer.
struct CacheSlot: Sendable {
  /// Which of a session's slots it is.
  let index: Int
  let layers: [KeyValueCache]
  /// The model with these caches, for backends that run a step of one row as one operation; `nil`
  /// where that lacks what a layer has.
  let fused: FusedDecodeModel?

  init(_ index: Int, _ model: InferenceModel, capacity: Int) {
    let c = model.configuration
    let layers = model.backend.allocate { layout in
      (0..<c.layers).map { _ in KeyValueCache(c.attention, capacity: capacity, in: &layout) }
    }
    self.index = index
    self.layers = layers
    fused = model.fusedDecodeModel(over: layers)
  }

  /// Copies the first `count` tokens' entries of every layer.
  func copy(first count: Int, into other: CacheSlot, on backend: any InferenceBackend) {
    for (source, target) in zip(layers, other.layers) {
      source.copy(0..<count, into: target, on: backend)
    }
  }
}
