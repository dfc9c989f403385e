import MGLU

/// The memory of the parameters of a model on one of the ranks that share them, as under FSDP's full sharding:
/// the rank keeps its share of every layer, and whole layers lie in two slots, in turn, while passes read
/// them. What no layer has to itself (embedding, head, norms and biases) is whole on every rank in the form
/// that passes read.
package struct ShardedMemory: Sendable {
  /// Layers that are there at a time: one that is read, and one that arrives meanwhile.
  static let slots = 2

  /// float32: the own share, and whole norms and biases.
  package let masters: ArenaParts
  /// What products read where that is narrower: the own share, and the whole embedding and head.
  package let copies: ArenaParts?
  /// What passes read of layers as float32.
  package let exactLayers: ArenaParts
  /// What products read of layers where that is narrower.
  package let narrowLayers: ArenaParts?

  /// Memory of a rank.
  ///
  /// - Parameters:
  ///   - weights: The parameters; they need not be in memory.
  ///   - shares: Which part of them each rank has.
  ///   - rank: The rank.
  ///   - type: The type of products.
  ///   - allocate: Makes memory of a description.
  package init(
    _ weights: ModelWeights, shares: ParameterShares, rank: Int, productType type: DataType,
    allocate: ((inout ArenaLayout) -> ArenaParts) -> ArenaParts
  ) {
    func read(_ bytes: Range<Int>) -> (narrow: [Range<Int>], exact: [Range<Int>]) {
      weights.bytesRead(in: bytes, productType: type)
    }
    let rest = shares.rest.map(\.range)
    let ofLayers = shares.layerBytes(of: rank)
    let ofRest = shares.rest.flatMap { read($0.bytes[rank]).narrow }
    masters = allocate { layout in
      ArenaParts(rest.flatMap { read($0).exact } + ofRest + ofLayers, in: &layout)
    }
    let layers = weights.layerBytes.map { $0.map(read) }
    exactLayers = allocate { layout in
      ArenaParts(
        [], turns: layers.map { $0.flatMap(\.exact) }, slots: Self.slots, in: &layout)
    }
    if type == .float32 {
      (copies, narrowLayers) = (nil, nil)
    } else {
      let kept = rest.flatMap { read($0).narrow }
      copies = allocate { layout in
        ArenaParts(
          kept + ofLayers.filter { weights.productBytes.contains($0.lowerBound) }, of: type,
          in: &layout)
      }
      narrowLayers = allocate { layout in
        ArenaParts(
          [], turns: layers.map { $0.flatMap(\.narrow) }, slots: Self.slots, of: type,
          in: &layout)
      }
    }
  }

  /// Where passes find what products read.
  package func product(_ tensor: Tensor) -> Tensor {
    guard let copies, let narrowLayers else { return exact(tensor) }
    return Self.place(of: tensor, in: narrowLayers, copies)
  }

  /// Where passes find what is float32.
  package func exact(_ tensor: Tensor) -> Tensor {
    Self.place(of: tensor, in: exactLayers, masters)
  }

  private static func place(
    of tensor: Tensor, in layers: ArenaParts, _ kept: ArenaParts
  ) -> Tensor {
    guard let place = layers.counterpart(of: tensor) ?? kept.counterpart(of: tensor) else {
      preconditionFailure("a parameter without a place")
    }
    return place
  }

  /// Memory for the gradients of a pass: those of layers lie in two slots, in turn, until ranks have
  /// exchanged them.
  package static func gradients(
    of weights: ModelWeights, shares: ParameterShares, in layout: inout ArenaLayout
  ) -> ArenaParts {
    ArenaParts(
      shares.rest.map(\.range),
      turns: weights.layerBytes.map { $0.filter { $0.upperBound <= shares.byteCount } },
      slots: slots, in: &layout)
  }
}
