import MGLU

/// Brings the layers of a model, of which each rank keeps a share, to where passes read them, one ahead of the
/// computation.
///
/// All ranks read the same layers in the same order, so that they exchange the same. What is enqueued aside
/// waits for all that was asked for before: a slot is only overwritten once its last layer has been read.
package final class ShardedLayers: Sendable {
  /// What connects the ranks.
  package let communicator: any Communicator
  private let backend: any TrainingBackend
  /// Of each layer, what every rank has of it, by rank, where it is read.
  private let pieces: [[[Tensor]]]
  /// Where the own of these pieces are kept, in their order.
  private let own: [[Tensor]]
  // Touched by the one thread that runs the model: the layer in each slot, and when it is there.
  private nonisolated(unsafe) var slots: [(layer: Int, arrival: Milestone)?]

  /// The layers of a model.
  ///
  /// - Parameters:
  ///   - weights: The parameters; they need not be in memory.
  ///   - memory: Where they lie on this rank.
  ///   - shares: Which part of them each rank has.
  ///   - type: The type of products.
  ///   - backend: What computes.
  ///   - communicator: What connects the ranks.
  package init(
    _ weights: ModelWeights, _ memory: ShardedMemory, _ shares: ParameterShares,
    productType type: DataType, on backend: any TrainingBackend,
    communicator: any Communicator
  ) {
    self.backend = backend
    self.communicator = communicator
    func tensors(
      _ bytes: Range<Int>, _ narrow: ArenaParts?, _ exact: ArenaParts
    ) -> [Tensor] {
      let read = weights.bytesRead(in: bytes, productType: type)
      return read.narrow.compactMap { narrow?.elements(inBytes: $0) }
        + read.exact.map { exact.elements(inBytes: $0) }
    }
    let group = communicator.group
    let runs = weights.layers.indices.map { shares.runs(ofLayer: $0) }
    pieces = runs.map { runs in
      (0..<group.size).map { rank in
        runs.flatMap { tensors($0.bytes[rank], memory.narrowLayers, memory.exactLayers) }
      }
    }
    own = runs.map { runs in
      runs.flatMap { tensors($0.bytes[group.rank], memory.copies, memory.masters) }
    }
    slots = Array(repeating: nil, count: min(ShardedMemory.slots, weights.layers.count))
  }

  /// Lets what is asked for from now on read a layer, and another one arrive meanwhile.
  ///
  /// - Parameters:
  ///   - layer: The layer that is read, until another is.
  ///   - next: The layer to be read after it, if there is one.
  package func read(_ layer: Int, next: Int) {
    bring(layer)
    let slot = layer % slots.count
    if let arrival = slots[slot]?.arrival { backend.wait(for: arrival) }
    slots[slot]?.arrival = .reached
    if pieces.indices.contains(next) { bring(next) }
  }

  /// Begins to gather a layer, unless it is there.
  package func bring(_ layer: Int) {
    let slot = layer % slots.count
    guard slots[slot]?.layer != layer else { return }
    let arrival = backend.aside { [self] in
      for (kept, read) in zip(own[layer], pieces[layer][communicator.group.rank]) {
        backend.copy(kept, into: read)
      }
      communicator.allGather(pieces[layer], named: "parameters of layer \(layer)")
    }
    slots[slot] = (layer, arrival)
  }

  /// Forgets the layers that are there, whose parameters change. All exchanges must have been waited for.
  package func forget() {
    complete()
    for slot in slots.indices { slots[slot] = nil }
  }

  /// Lets everything from now on wait for layers that still arrive.
  func complete() {
    for slot in slots.indices {
      if let arrival = slots[slot]?.arrival { backend.wait(for: arrival) }
      slots[slot]?.arrival = .reached
    }
  }
}
