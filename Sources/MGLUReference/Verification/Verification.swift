import MGLUModel

/// Every kernel of a backend against the float64 reference, over shapes at and around the sizes of
/// vectors, groups, words and tiles.
package struct Verification {
  /// The backend; its host makes weights and references.
  package let backend: any InferenceBackend

  /// Prepares to verify the kernels of a backend.
  package init(on backend: any InferenceBackend) { self.backend = backend }

  /// Prepares to verify `instructionSet` on `threads` threads.
  package init(instructionSet: String, threads: Int?) throws(BackendError) {
    backend = try CPUBackend(threads: threads, instructionSet: instructionSet)
  }

  /// What the kernels are compiled for: an instruction set, or a GPU's generation.
  package var set: String { backend.kernelSet }

  /// Whether the backend is the host, whose training other devices are held against.
  var isHost: Bool { backend === backend.host }

  /// What may be verified by itself.
  package enum Part: String, CaseIterable, Sendable {
    /// All of inference, or its units, or its attention, sampling and models.
    case inference, units, models
    /// A device's training.
    case training
  }

  /// Everything that the backend computes, operation by operation. The host's training is part of what
  /// is held against the reference anyway; a device's is held against the host's.
  package func findings(of parts: Set<Part>, _ take: ([Finding]) -> Void) throws {
    if !parts.isDisjoint(with: [.inference, .units]) { try units(take) }
    if !parts.isDisjoint(with: [.inference, .models]) { try wholeModels(take) }
    if parts.contains(.training), !isHost, backend.training != nil { try training(take) }
  }

  private func units(_ take: ([Finding]) -> Void) throws {
    for type in backend.weightTypes { take(try inferenceUnits(type)) }
    take(trainingUnits())
  }

  private func wholeModels(_ take: ([Finding]) -> Void) throws {
    take(try attention())
    take([try routes(), try largestTokens(), try drawnTokens()])
    take([try adjustedLogits(), try logprobs()])
    take(try models())
  }

  /// How far a unit over `columns` columns may be from float64.
  ///
  /// Exact inputs: float32 sums in another order than float64, 1e-5 at most. Tensor cores drop
  /// what lies below the last of 24 bits in place of rounding it, once for each of the h / 128 products
  /// of 16 columns that a warp adds up: up to 2^-23 each of a sum, always towards zero, which a gate's
  /// two factors both show; `__expf` in the activation is wrong in the last few of 24 bits. Where rows of
  /// prompts have sums of their own, a warp adds up all h / 16 for each of the two factors.
  ///
  /// Reduced inputs: FP16, where inputs are narrowed to it, keeps 11 bits, so that a product is off by up to 2^-11 of itself,
  /// some 2e-4 in the root mean square, and so is a sum of many; a gate's two factors make it 3e-4,
  /// and 8-bit weights, which rows of prompts see narrowed to FP16 too, sqrt(2) of that.
  /// BF16 keeps 8 bits, 2^-9 relative per product at most, which a gate's two factors double; 8-bit
  /// inputs keep 1/254 of a group's largest, some 1e-2 relative to their mean.
  func bound(
    _ type: WeightType, _ precision: InputPrecision, columns: Int, ofPrompts: Bool = false
  ) -> Double {
    switch (type, precision) {
    case (.float16, .reduced) where backend.typesOfNarrowInputs.contains(type): 5e-4
    case (.int8, .reduced) where backend.truncatesSums: ofPrompts ? 7e-4 : 5e-4
    case (.bfloat16, .reduced): 1e-2
    case (.int8, .reduced): 3e-2
    case (.float32, _): 1e-5
    case (.float16, _), (.bfloat16, _), (.int8, _):
      1e-5 + (backend.truncatesSums ? Double(columns) / (ofPrompts ? 8 : 128) * 0x1p-23 : 0)
    }
  }

  /// A tensor of the host with the elements of `matrix`.
  func hostTensor(_ matrix: ReferenceMatrix) -> Tensor {
    let tensor = backend.host.allocate { $0.tensor([matrix.rows, matrix.columns]) }
    tensor.assign(matrix.floats)
    return tensor
  }
}

extension FeedForwardUnitKind {
  /// A name for a line of text.
  var label: String {
    guard let masks else { return name.rawValue }
    let parts = [
      "\(masks.count) masks", masks.ablation.map(\.rawValue),
      masks.routerTopK.map { "top \($0)" },
    ]
    return parts.compactMap(\.self).joined(separator: ", ")
  }
}
