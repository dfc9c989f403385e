import MGLUTraining

/// What several ranks add to a step, and what they save, where each sends every other over one link.
///
/// Ranks exchange gradients beside the backward pass and parameters beside the next one, but what moves
/// them takes about as long from the computation. So their time counts in full, and each rank steps its
/// share of the parameters. On 4 H200 (350 GB/s, no latency) steps of `paper-small` were 2 % longer than
/// predicted in this way from a step of one, and of `paper-large` 0 to 5 % shorter (2026-11-26,
/// `scaling-cuda.json`); other links and numbers of GPUs have not been compared with it.
package struct LinkPrediction {
  /// Bytes a second that leave a rank, and as many that reach it.
  package let bandwidth: Double
  /// Seconds of a message beside its bytes.
  package let latency: Double

  /// A link.
  ///
  /// - Parameters:
  ///   - bandwidth: Bytes a second that leave a rank, and as many that reach it.
  ///   - latency: Seconds of a message beside its bytes.
  package init(bandwidth: Double, latency: Double) {
    self.bandwidth = bandwidth
    self.latency = latency
  }

  /// Seconds of a step of `ranks` ranks, each with the passes of `step`.
  ///
  /// - Parameters:
  ///   - step: The step of one rank.
  ///   - configuration: The model.
  ///   - ranks: How many ranks share the optimizer.
  ///   - rounds: How many micro-batches each of them computes for a step.
  ///   - isSharded: Whether they share the parameters, too, and so gather each layer for the forward and for
  ///     the backward pass of each round.
  package func seconds(
    of step: StepPrediction, _ configuration: ModelConfiguration, ranks: Int, rounds: Int = 1,
    isSharded: Bool = false
  ) -> Double {
    let others = Double(ranks - 1)
    let gathers = isSharded ? 2 * rounds : 1
    // A message to each other rank for every layer and the rest, of gradients and of parameters.
    let messages = others * Double((configuration.layers + 1) * (rounds + gathers))
    let bytes = Self.bytes(of: configuration, rounds: Double(rounds), gathers: Double(gathers))
    return step.products + step.passes + step.optimizer / Double(ranks)
      + bytes * others / Double(ranks) / bandwidth + messages * latency
  }

  /// What ranks send each other: float32 gradients, and parameters as passes read them.
  private static func bytes(
    of configuration: ModelConfiguration, rounds: Double, gathers: Double
  ) -> Double {
    let isMasked = configuration.feedForward.unit.masks != nil
    return configuration.parameterTable.parameters.filter(\.isTrained).reduce(0) { sum, parameter in
      // Stacks are made of float32 logits, and of W under them.
      let isExact =
        !parameter.isReadByProducts || isMasked && parameter.name.hasSuffix("mlp.up_proj.weight")
      let isOfLayer = parameter.name.hasPrefix("model.layers.")
      return sum + Double(parameter.count)
        * (4 * rounds + (isExact ? 4 : 2) * (isOfLayer ? gathers : 1))
    }
  }
}
