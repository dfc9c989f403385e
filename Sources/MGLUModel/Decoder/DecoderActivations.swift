/// What one pass over `sequences` texts of `length` tokens keeps: n = sequences * length rows.
///
/// For training every layer keeps its own activations for the backward pass; otherwise all layers
/// share one set.
public struct DecoderActivations: Sendable {
  /// Token ids, int32 `[n]`.
  public let tokens: Tensor
  /// The id that follows each token, or -1 where nothing is predicted, int32 `[n]`.
  public let targets: Tensor
  /// The loss of each target in nats `[n]`.
  public let losses: Tensor
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

  /// Logits held at a time: the vocabulary's scores of a chunk of rows, at most 64 MiB.
  private static func logitRows(_ rows: Int, vocabulary: Int) -> Int {
    min(rows, max(1, (16 << 20) / vocabulary))
  }

  /// Lays the activations out.
  public init(
    _ configuration: DecoderConfiguration, sequences: Int, length: Int, forTraining: Bool,
    in layout: inout ArenaLayout
  ) {
    let c = configuration
    let rows = sequences * length
    self.sequences = sequences
    self.length = length
    tokens = layout.tensor([rows], .int32)
    targets = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    losses = layout.tensor([rows])
    var layers: [LayerActivations] = []
    for index in 0..<c.layers {
      layers.append(
        forTraining || index == 0
          ? LayerActivations(c, sequences: sequences, length: length, in: &layout) : layers[0])
    }
    self.layers = layers
    residual = forTraining ? layout.tensor([rows, c.hiddenSize]) : layers[0].input
    inverseRMS = layout.tensor([rows])
    normed = layout.tensor([rows, c.hiddenSize])
    scratch = StackScratch(c.feedForward, forTraining: forTraining, in: &layout)
    logits = layout.tensor([
      Self.logitRows(rows, vocabulary: c.vocabularySize), c.vocabularySize,
    ])
    gradients = forTraining ? ActivationGradients(c, rows: rows, in: &layout) : nil
  }

  /// Numbers the positions of every sequence from 0.
  func fillPositions() {
    for row in 0..<positions.count { positions.integers[row] = Int32(row % length) }
  }

  /// The output of layer `index`: the input of the next, or the last residual.
  func output(of index: Int) -> Tensor {
    index + 1 < layers.count ? layers[index + 1].input : residual
  }
}

/// The activations of one block.
struct LayerActivations: Sendable {
  let input: Tensor
  let inputInverseRMS: Tensor
  let inputNormed: Tensor
  let qkv: Tensor
  let attention: Tensor
  let logSumExp: Tensor
  let middle: Tensor
  let middleInverseRMS: Tensor
  let middleNormed: Tensor
  let feedForward: FeedForwardActivations

  init(
    _ c: DecoderConfiguration, sequences: Int, length: Int, in layout: inout ArenaLayout
  ) {
    let rows = sequences * length
    input = layout.tensor([rows, c.hiddenSize])
    inputInverseRMS = layout.tensor([rows])
    inputNormed = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    logSumExp = layout.tensor([sequences, c.attention.heads, length])
    middle = layout.tensor([rows, c.hiddenSize])
    middleInverseRMS = layout.tensor([rows])
    middleNormed = layout.tensor([rows, c.hiddenSize])
    feedForward = FeedForwardActivations(c.feedForward, rows: rows, in: &layout)
  }
}

/// Gradients of activations, one set for all layers.
struct ActivationGradients: Sendable {
  let residual: Tensor
  let normed: Tensor
  let qkv: Tensor
  let attention: Tensor
  let feedForward: Tensor

  init(_ c: DecoderConfiguration, rows: Int, in layout: inout ArenaLayout) {
    residual = layout.tensor([rows, c.hiddenSize])
    normed = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    feedForward = layout.tensor([rows, c.feedForward.intermediateSize])
  }
}

extension DecoderActivations {
  /// Where the last forward pass first left a number that is not finite, in words.
  public func firstNonFinite() -> String? {
    if !layers[0].input.isFinite { return "the embedding" }
    for (index, layer) in layers.enumerated() {
      if !layer.qkv.isFinite || !layer.attention.isFinite {
        return "the attention of layer \(index)"
      }
      if !layer.feedForward.output.isFinite || !output(of: index).isFinite {
        return "the feed-forward block of layer \(index)"
      }
    }
    return losses.isFinite ? nil : "the logits"
  }
}
