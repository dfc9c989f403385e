import MGLUModel
import MGLUTestSupport
import Testing

/// Parameters of which each rank keeps a share, in float32 and in the narrow type of a GPU's products.
@Suite struct ShardedLayersTests {
  static let units: [FeedForwardUnitKind] = [
    .glu, .mglu(.init(count: 2)), .mglu(.init(count: 3, routerTopK: 2)),
    .mglu(.init(count: 2, kind: .fixed)),
  ]

  private static func weights(_ unit: FeedForwardUnitKind, tied: Bool) -> ModelWeights {
    var layout = ArenaLayout()
    return ModelWeights(
      ModelConfiguration(
        vocabularySize: 300, layers: 5, attention: .init(heads: 2, kvHeads: 1, headSize: 24),
        feedForward: .init(hiddenSize: 72, intermediateSize: 150, unit: unit), contextLength: 8,
        hasQKNorm: true, tiesEmbeddings: tied),
      vocabularyMultiple: 64, in: &layout)
  }

  /// Every parameter is one rank's, and no byte is two ranks'.
  @Test(arguments: units, [1, 2, 3, 7, 200]) func everyParameterHasOneRank(
    unit: FeedForwardUnitKind, ranks: Int
  ) {
    let weights = Self.weights(unit, tied: ranks % 2 == 0)
    let shares = ParameterShares(of: weights, ranks: ranks)
    let all = (0..<ranks).flatMap { shares.allBytes(of: $0) }.sorted {
      $0.lowerBound < $1.lowerBound
    }
    for (one, next) in zip(all, all.dropFirst()) { #expect(one.upperBound <= next.lowerBound) }
    var covered: [Range<Int>] = []
    for bytes in all {
      if let last = covered.last, last.upperBound == bytes.lowerBound {
        covered[covered.count - 1] = last.lowerBound..<bytes.upperBound
      } else {
        covered.append(bytes)
      }
    }
    for named in weights.named where ranks > 1 || named.parameter.isTrained {
      let bytes = named.tensor.byteOffset..<named.tensor.byteOffset + named.tensor.byteCount
      #expect(covered.contains { $0.clamped(to: bytes) == bytes }, "\(named.name)")
    }
  }

  /// What a layer's products and masks read is what ranks keep, in any order of layers, and after every
  /// change.
  @Test(arguments: units, [DataType.float32, .bfloat16])
  func layersArriveWhole(unit: FeedForwardUnitKind, type: DataType) throws {
    for ranks in [2, 3] {
      let results = try withRanks(ranks) { group in
        try Self.read(
          unit, type: type, through: CPUBackend(threads: 1).communicator(of: group))
      }
      for result in results { #expect(try result.get() == []) }
    }
  }

  /// The number that stands for an element of the whole.
  private static func number(_ element: Int, _ salt: Int) -> UInt16 {
    UInt16((element * 7 + salt) % 65_521)
  }

  /// Reads all layers and returns those parameters that were others.
  private static func read(
    _ unit: FeedForwardUnitKind, type: DataType, through communicator: any Communicator
  ) throws -> [String] {
    let backend = try CPUBackend(threads: 1)
    let (weights, rank) = (weights(unit, tied: true), communicator.group.rank)
    let shares = ParameterShares(of: weights, ranks: communicator.group.size)
    let memory = ShardedMemory(weights, shares: shares, rank: rank, productType: type) {
      backend.allocate($0)
    }
    let read = weights.moving(products: memory.product, others: memory.exact)
    let layers = ShardedLayers(
      weights, memory, shares, productType: type, on: backend, communicator: communicator)

    func fill(_ tensor: Tensor, salt: Int) {
      let first = tensor.byteOffset / tensor.dataType.byteCount
      if tensor.dataType == .float32 {
        tensor.assign((0..<tensor.count).map { Float(number(first + $0, salt)) })
      } else {
        let bits = tensor.bytes.bindMemory(to: UInt16.self)
        for index in bits.indices { bits[index] = number(first + index, salt) }
      }
    }
    func isWhole(_ tensor: Tensor, salt: Int) -> Bool {
      let first = tensor.byteOffset / tensor.dataType.byteCount
      if tensor.dataType == .float32 {
        return tensor.array.enumerated().allSatisfy { $1 == Float(number(first + $0, salt)) }
      }
      return tensor.bytes.bindMemory(to: UInt16.self).enumerated().allSatisfy {
        $1 == number(first + $0, salt)
      }
    }
    var wrong: [String] = []
    for salt in [1, 2] {
      layers.forget()
      for bytes in shares.layerBytes(of: rank) {
        fill(memory.masters.elements(inBytes: bytes), salt: salt)
        if let copies = memory.copies, weights.productBytes.contains(bytes.lowerBound) {
          // Where float32 is read, nothing depends on the copy.
          fill(copies.elements(inBytes: bytes), salt: salt)
          for exact in weights.bytesRead(in: bytes, productType: type).exact {
            fill(copies.elements(inBytes: exact), salt: salt + 100)
          }
        }
      }
      let forward = Array(weights.layers.indices)
      let order = forward + forward.reversed()
      for (index, next) in zip(order, order.dropFirst() + [-1]) {
        layers.read(index, next: next == index ? -1 : next)
        let layer = read.layers[index]
        for (name, tensor, isProduct) in [
          ("qkv", layer.qkv, true), ("output", layer.output, true), ("down", layer.down, true),
          ("unit", layer.unit.weight, layer.unit.masked == nil),
          ("logits", layer.unit.masked?.maskLogits, false),
          ("router", layer.unit.router?.weight, true),
        ] {
          guard let tensor else { continue }
          if tensor.dataType != (isProduct ? type : .float32) { wrong.append("type of \(name)") }
          if !isWhole(tensor, salt: salt) { wrong.append("\(name) of layer \(index)") }
        }
      }
    }
    return wrong
  }
}
