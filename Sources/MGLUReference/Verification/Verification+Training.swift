import MGLUModel

/// Training on a device, held against the CPU's.
extension Verification {
  /// Every operation of training, whole models, and runs.
  package func training(_ take: ([Finding]) -> Void) throws {
    for operation in trainingOperations { take([operation()]) }
    take(trainingModels())
    take(lossCurves())
    take([repeatedRuns()])
  }

  /// Every operation of ``TrainingBackend``, forward and backward.
  package var trainingOperations: [() -> Finding] {
    [products, addedProducts, stacks, combinations, routeGradients] + modelOperations
  }

  /// A finding without cases.
  func trainingFinding(_ kernel: String) -> Finding {
    Finding(
      kernel, on: set,
      weights: backend.training.flatMap { WeightType($0.productType) } ?? .float32)
  }

  /// A finding of cases on a fresh backend, so that what fails does not take the others along.
  func trainingFinding(
    _ kernel: String, _ body: (BackendComparison, inout Finding) throws -> Void
  ) -> Finding {
    var finding = trainingFinding(kernel)
    do {
      try body(twins(), &finding)
    } catch {
      finding.add(error: .infinity, bound: 1, "\(error)")
    }
    return finding
  }

  /// A fresh backend beside the CPU's best instruction set.
  func twins() throws -> BackendComparison {
    try BackendComparison(
      trainingBackend(),
      against: isHost ? CPUBackend(threads: backend.host.threadCount) : backend.host)
  }

  /// Another backend on the same device.
  func trainingBackend() throws -> any TrainingBackend {
    try backend.requireTraining().fresh()
  }

  // Products -------------------------------------------------------------------------------------

  /// m, n and k: single elements, odd sizes, exact tiles, and one more than those.
  private static let productSizes = [
    (1, 1, 1), (3, 5, 7), (64, 64, 64), (37, 131, 67), (1, 513, 129), (128, 96, 256),
    (129, 257, 1025),
  ]

  private enum Addend: CaseIterable { case none, itself, another }

  private func products() -> Finding {
    trainingFinding("products") { twins, finding in
      try multiply(.none, twins, &finding)
    }
  }

  /// A product may be rounded to the result's type before the addend comes to it: two roundings.
  private func addedProducts() -> Finding {
    trainingFinding("products, added") { twins, finding in
      try multiply(.itself, twins, &finding)
      try multiply(.another, twins, &finding)
    }
  }

  private func multiply(_ addend: Addend, _ twins: BackendComparison, _ finding: inout Finding)
    throws
  {
    for (m, n, k) in Self.productSizes {
      for (transposesA, transposesB) in [
        (false, false), (false, true), (true, false), (true, true),
      ] {
        let a = twins.normal(transposesA ? [k, m] : [m, k], twins.narrow)
        let b = twins.normal(transposesB ? [n, k] : [k, n], twins.narrow)
        for type in Set([twins.narrow, .float32]) {
          let c = twins.normal([m, n], type)
          let other = twins.normal([m, n], type)
          twins.compute { on in
            on.backend.multiply(
              MatrixOperand(tensor: on[a], isTransposed: transposesA),
              MatrixOperand(tensor: on[b], isTransposed: transposesB), into: on[c],
              adding: addend == .none ? nil : on[addend == .itself ? c : other])
          }
          try twins.compare(
            c, roundings: type == .float32 ? 0 : addend == .none ? 1 : 2, in: &finding,
            "\(m) x \(n) x \(k), transposed \(transposesA), \(transposesB), into \(type), "
              + "adding \(addend)")
        }
      }
    }
  }

  // Units ----------------------------------------------------------------------------------------

  private func stacks() -> Finding {
    trainingFinding("stacks of masks") { twins, finding in
      for masks in [1, 2, 5, 16] {
        for (d, h) in [(1, 1), (17, 33), (16, 96), (37, 577)] {
          let weight = twins.normal([d, h])
          let logits = twins.normal([masks, d, h])
          let stack = twins.output([(masks + 1) * d, h], twins.narrow)
          let name = "\(masks) masks, \(d) x \(h)"
          twins.compute { on in
            on.backend.stackMasked(on[weight], logits: on[logits], into: on[stack])
          }
          try twins.compare(stack, roundings: 1, in: &finding, name)

          let gradient = twins.normal([(masks + 1) * d, h])
          for learns in [true, false] {
            let (dWeight, dLogits) = (twins.normal([d, h]), twins.normal([masks, d, h]))
            twins.compute { on in
              on.backend.unstackGradient(
                on[gradient], weight: on[weight], logits: on[logits],
                weightGradient: on[dWeight], logitsGradient: learns ? on[dLogits] : nil)
            }
            try twins.compare(dWeight, in: &finding, name + ", dW")
            try twins.compare(dLogits, in: &finding, name + ", dL")
          }
        }
      }
    }
  }

  private struct Combination {
    var kind: FeedForwardUnitKind
    var activation = Activation.silu
    /// Rows of whole vectors, or odd ones: another variant of the kernels.
    var isWide: Bool
  }

  /// Every gating, activation and ablation, masks at both ends, in some thirty variants.
  private static let combinations: [Combination] =
    trainingUnitKinds.map { Combination(kind: $0, isWide: false) }
    + Activation.allCases.map { Combination(kind: .sharedGLU, activation: $0, isWide: true) }
    + [
      Combination(kind: .mglu(.init(count: 16)), activation: .gelu, isWide: false),
      Combination(
        kind: .mglu(.init(count: 5, ablation: .noValueMask)), activation: .sigmoid, isWide: false),
      Combination(kind: .glu, isWide: true),
      Combination(kind: .mglu(.init(count: 2)), isWide: true),
      Combination(kind: .lu, activation: .identity, isWide: true),
      Combination(kind: .mglu(.init(count: 1)), activation: .geluTanh, isWide: true),
      Combination(
        kind: .mglu(.init(count: 4, ablation: .noGateMask, routerTopK: 2)),
        activation: .sigmoid, isWide: true),
      Combination(kind: .mglu(.init(count: 16, routerTopK: 3)), isWide: true),
    ]

  private func combinations() -> Finding {
    trainingFinding("units, combined") { twins, finding in
      for item in Self.combinations {
        // A row in one round of a block's threads, and in two.
        for (rows, width) in [(7, item.isWide ? 40 : 37), (3, item.isWide ? 2056 : 2051)] {
          try combine(item, rows, width, twins, &finding)
        }
      }
    }
  }

  private func combine(
    _ item: Combination, _ rows: Int, _ width: Int, _ twins: BackendComparison,
    _ finding: inout Finding
  ) throws {
    let (gating, activation) = (item.kind.gating, item.activation)
    let name = "\(item.kind.label), \(activation), \(rows) x \(width)"
    var routes: Twin<Tensor>?
    if let masks = item.kind.masks, let topK = masks.routerTopK {
      routes = self.routes(rows, masks.count, topK: topK, twins)
    }
    let streams = twins.normal([rows, gating.streams * width], twins.narrow)
    let a = twins.output([rows, width], twins.narrow)
    twins.compute { on in
      on.backend.combine(
        on[streams], gating: gating, activation: activation, routes: routes.map { on[$0] },
        into: on[a])
    }
    try twins.compare(a, roundings: 1, in: &finding, name)

    let upstream = twins.normal([rows, width], twins.narrow)
    // The gradient in memory of its own, then in place of the streams.
    for gradient in [twins.output(streams.expected.shape, twins.narrow), streams] {
      let dRoutes = routes.map { twins.output($0.expected.shape) }
      twins.compute { on in
        on.backend.combineBackward(
          on[upstream], streams: on[streams], gating: gating, activation: activation,
          routes: routes.map { on[$0] }, streamsGradient: on[gradient],
          routesGradient: dRoutes.map { on[$0] })
      }
      try twins.compare(gradient, roundings: 1, in: &finding, name + ", streams' gradient")
      if let dRoutes { try twins.compare(dRoutes, in: &finding, name + ", routes' gradient") }
    }
  }

  /// Route weights as a router makes them.
  private func routes(_ rows: Int, _ masks: Int, topK: Int, _ twins: BackendComparison) -> Twin<
    Tensor
  > {
    let routes = twins.output([rows, masks]).expected
    twins.host.route(twins.normal([rows, masks]).expected, topK: topK, into: routes)
    return twins.tensor([rows, masks], .float32, routes.array)
  }

  private func routeGradients() -> Finding {
    trainingFinding("routes, backward") { twins, finding in
      for (masks, topK) in [(1, 1), (3, 2), (8, 8), (16, 5)] {
        let routes = routes(300, masks, topK: topK, twins)
        let gradient = twins.normal([300, masks])
        let logits = twins.output([300, masks], twins.narrow)
        twins.compute { on in
          on.backend.routeBackward(
            on[gradient], routes: on[routes], logitsGradient: on[logits])
        }
        try twins.compare(logits, roundings: 1, in: &finding, "top \(topK) of \(masks)")
      }
    }
  }
}
