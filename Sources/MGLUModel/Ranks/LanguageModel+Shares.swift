import MGLU

extension LanguageModel {
  /// What passes read of each rank's part of `run`: the narrow copies of what products read where there
  /// are any, and float32 of everything else.
  package func parametersRead(in run: ParameterShares.Run) -> [[Tensor]] {
    run.bytes.map { bytes in
      let read = deviceWeights.bytesRead(in: bytes, productType: backend.productType)
      return read.narrow.compactMap { productCopies?.elements(inBytes: $0) }
        + read.exact.map { masterParameters.elements(inBytes: $0) }
    }
  }

  /// Completes the float32 parameters on every rank from the shares of all.
  package func gatherMasters(
    in shares: ParameterShares, through communicator: any Communicator
  ) throws {
    completeParameters()
    communicator.allGather(
      (0..<communicator.group.size).map { rank in
        shares.bytes(of: rank).map { masterParameters.elements(inBytes: $0) }
      })
    try communicator.finish()
  }

  /// Gives every rank the parameters of rank 0.
  package func broadcast(through communicator: any Communicator) throws {
    let all = masterParameters.arena.floats
    communicator.allGather(
      (0..<communicator.group.size).map { $0 == 0 ? [all] : [] })
    try communicator.finish()
    roundCopies()
  }

  /// Gives every rank what passes read of embedding, head, norms and biases, once each has its share of
  /// the float32 parameters.
  package func gatherRest(in shares: ParameterShares) throws {
    guard let communicator = sharded?.communicator else { return }
    sharded?.forget()
    for bytes in shares.bytes(of: communicator.group.rank) {
      let products = bytes.clamped(to: deviceWeights.productBytes)
      if let copies = productCopies(of: products), copies.count > 0 {
        backend.convert(masterParameters.elements(inBytes: products), into: copies)
      }
    }
    let runs = shares.rest.map { parametersRead(in: $0) }
    communicator.allGather(
      (0..<communicator.group.size).map { rank in runs.flatMap { $0[rank] } })
    try communicator.finish()
  }

  /// Takes part in what ranks exchange while they compute a pass, without computing one.
  ///
  /// - Parameters:
  ///   - isTraining: Whether the others' pass has a backward pass.
  ///   - completed: See ``lossAndGradients(_:into:scale:teacher:completed:)``.
  package func accompany(isTraining: Bool, completed: (_ layer: Int) -> Void = { _ in }) {
    let layers = deviceWeights.layers.indices
    for index in layers { sharded?.read(index, next: index + 1) }
    guard isTraining else { return }
    for index in layers.reversed() {
      sharded?.read(index, next: index - 1)
      completed(index)
    }
  }

  /// Shows every layer where it is computed with, one after the other. Where ranks share the parameters, all
  /// must call it.
  package func forEachLayer(_ body: (_ layer: LayerWeights) -> Void) throws(CommunicationError) {
    completeParameters()
    for (index, layer) in deviceWeights.layers.enumerated() {
      sharded?.read(index, next: index + 1)
      try sharded?.communicator.finish()
      body(layer)
    }
  }
}
