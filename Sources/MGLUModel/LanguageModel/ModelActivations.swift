/// What a pass is for.
public enum ActivationPurpose: Sendable {
  /// Losses or logits: all layers share one set of activations.
  case evaluation
  /// Gradients: every layer keeps its own for the backward pass.
  case training
  /// Gradients in less memory: every layer keeps its input only, and the backward pass computes the
  /// rest again.
  case recomputingTraining
}

/// The tokens of a pass and what was made of them.
public struct TokenBatch: Sendable {
  /// Token ids, int32 `[n]`.
  public let tokens: Tensor
  /// The id that follows each token, or -1 where nothing is predicted, int32 `[n]`.
  public let targets: Tensor
  /// The loss of each target in nats `[n]`.
  public let losses: Tensor
  /// The sequences, one after the other.
  public let sequences: Int

  init(sequences: Int, length: Int, in layout: inout ArenaLayout) {
    self.sequences = sequences
    let rows = sequences * length
    tokens = layout.tensor([rows], .int32)
    targets = layout.tensor([rows], .int32)
    losses = layout.tensor([rows])
  }

  func isCopy(of other: TokenBatch) -> Bool { tokens.arena !== other.tokens.arena }

  /// Ends the process where a token or a target is none of `vocabulary`: kernels would read and write
  /// elsewhere.
  func check(vocabulary: Int) {
    let (tokens, targets, limit) = (tokens.integers, targets.integers, Int32(vocabulary))
    for row in 0..<losses.count {
      precondition(
        0 <= tokens[row] && tokens[row] < limit && targets[row] < limit,
        "token \(tokens[row]), target \(targets[row]): expected 0 to \(vocabulary - 1)")
    }
  }
}

/// The sizes of a pass, from which its memory follows.
public struct ActivationPlan: Sendable {
  let configuration: ModelConfiguration
  let sequences: Int
  let length: Int
  let purpose: ActivationPurpose
  let type: DataType
  let logitColumns: Int

  /// A pass over `sequences` texts of `length` tokens, with products of `type` and a vocabulary
  /// padded to `vocabularyRows`.
  public init(
    _ configuration: ModelConfiguration, sequences: Int, length: Int,
    purpose: ActivationPurpose, type: DataType, vocabularyRows: Int
  ) {
    self.configuration = configuration
    self.sequences = sequences
    self.length = length
    self.purpose = purpose
    self.type = type
    logitColumns = vocabularyRows
  }

  var rows: Int { sequences * length }
  var isForTraining: Bool { purpose != .evaluation }

  /// Logits held at a time: a chunk of rows of at most 64 MiB, or, where a GPU wants wide products
  /// of a narrow type, of 512.
  var logitRows: Int {
    let bytes = type == .float32 ? 64 << 20 : 512 << 20
    return min(rows, max(1, bytes / (type.byteCount * logitColumns)))
  }
}

/// What one pass over `sequences` texts of `length` tokens keeps: n = sequences * length rows.
public struct ModelActivations: Sendable {
  /// Tokens, targets and losses where the host reads and writes them.
  public let batch: TokenBatch
  /// The same where they are computed with.
  let resident: TokenBatch
  let positions: Tensor
  let layers: [LayerActivations]
  let residual: Tensor
  let inverseRMS: Tensor
  let normed: Tensor
  let scratch: StackScratch
  let logits: Tensor
  let gradients: ActivationGradients?
  /// Texts in a batch.
  public let sequences: Int
  /// Tokens of a text.
  public let length: Int
  /// Whether layers keep nothing but their input.
  let recomputes: Bool

  /// Token ids, int32 `[n]`.
  public var tokens: Tensor { batch.tokens }
  /// The id that follows each token, or -1 where nothing is predicted, int32 `[n]`.
  public var targets: Tensor { batch.targets }
  /// The loss of each target in nats `[n]`.
  public var losses: Tensor { batch.losses }

  /// Lays the activations out; `batch` is in memory of the host, or `nil` where only sizes count.
  public init(_ plan: ActivationPlan, batch: TokenBatch?, in layout: inout ArenaLayout) {
    let c = plan.configuration
    let (rows, type) = (plan.rows, plan.type)
    sequences = plan.sequences
    length = plan.length
    recomputes = plan.purpose == .recomputingTraining
    let own = TokenBatch(sequences: plan.sequences, length: plan.length, in: &layout)
    resident = own.tokens.arena.isHostVisible ? batch ?? own : own
    self.batch = batch ?? own
    positions = layout.tensor([rows], .int32)
    var layers: [LayerActivations] = []
    for index in 0..<c.layers {
      if index == 0 || plan.purpose == .training {
        layers.append(LayerActivations(plan, in: &layout))
      } else if recomputes {
        layers.append(layers[0].withInput(layout.tensor([rows, c.hiddenSize], type)))
      } else {
        layers.append(layers[0])
      }
    }
    self.layers = layers
    residual =
      plan.isForTraining ? layout.tensor([rows, c.hiddenSize], type) : layers[0].input
    inverseRMS = layout.tensor([rows])
    normed = layout.tensor([rows, c.hiddenSize], type)
    scratch = StackScratch(c.feedForward, forTraining: plan.isForTraining, type: type, in: &layout)
    logits = layout.tensor([plan.logitRows, plan.logitColumns], type)
    gradients = plan.isForTraining ? ActivationGradients(plan, in: &layout) : nil
  }

  /// The output of layer `index`: the input of the next, or the last residual.
  func output(of index: Int) -> Tensor {
    index + 1 < layers.count ? layers[index + 1].input : residual
  }
}

/// The activations of one block.
struct LayerActivations: Sendable {
  var input: Tensor
  let attention: AttentionActivations
  let middle: Tensor
  let middleInverseRMS: Tensor
  let middleNormed: Tensor
  let feedForward: FeedForwardActivations

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (c, rows, type) = (plan.configuration, plan.rows, plan.type)
    input = layout.tensor([rows, c.hiddenSize], type)
    attention = AttentionActivations(plan, in: &layout)
    middle = layout.tensor([rows, c.hiddenSize], type)
    middleInverseRMS = layout.tensor([rows])
    middleNormed = layout.tensor([rows, c.hiddenSize], type)
    feedForward = FeedForwardActivations(c.feedForward, rows: rows, type: type, in: &layout)
  }

  /// The same memory but for the input.
  func withInput(_ input: Tensor) -> LayerActivations {
    var result = self
    result.input = input
    return result
  }
}

/// Gradients of activations, one set for all layers.
struct ActivationGradients: Sendable {
  let residual: Tensor
  let normed: Tensor
  let attention: AttentionGradients
  let feedForward: Tensor

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (c, rows, type) = (plan.configuration, plan.rows, plan.type)
    residual = layout.tensor([rows, c.hiddenSize], type)
    normed = layout.tensor([rows, c.hiddenSize], type)
    attention = AttentionGradients(plan, in: &layout)
    feedForward = layout.tensor([rows, c.feedForward.intermediateSize], type)
  }
}

extension LanguageModel {
  /// Where the last forward pass first left a number that is not finite, in words.
  public func firstNonFinite(_ a: ModelActivations) -> String? {
    func isFinite(_ tensor: Tensor) -> Bool { backend.onHost(tensor).isFinite }
    if !isFinite(a.layers[0].input) { return "the embedding" }
    for (index, layer) in a.layers.enumerated() {
      if !isFinite(layer.attention.qkv) || !isFinite(layer.attention.output) {
        return "the attention of layer \(index)"
      }
      if !isFinite(layer.feedForward.output) || !isFinite(a.output(of: index)) {
        return "the feed-forward block of layer \(index)"
      }
    }
    return a.losses.isFinite ? nil : "the logits"
  }
}
