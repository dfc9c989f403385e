/// Shapes of models by name. Every preset is a SwiGLU until its unit is changed.
public enum ModelPreset: String, Sendable, CaseIterable {
  /// 4 layers, h 128, d 512, 4 heads, context 64: trains on a CPU in minutes.
  case nano
  /// 8 layers, h 512, d 1536, 8 heads, context 1024: about 30 million weights with a vocabulary of
  /// 16,384; trains on a GPU in minutes.
  case mini
  /// The paper's small model (appendix A): 12 layers, h 768, d 3072, 24 heads.
  case paperSmall = "paper-small"
  /// The paper's large model (appendix A): 16 layers, h 2048, d 8192, 32 heads.
  case paperLarge = "paper-large"
  /// The shape of Llama 3.2 1B.
  case llama1B = "llama-3.2-1b"
  /// The shape of Llama 3.1 8B.
  case llama8B = "llama-3.1-8b"

  /// The configuration. The paper states neither vocabulary nor kv heads: GPT-2's 50257 tokens,
  /// tied embeddings and a quarter of the heads reproduce its sizes (table 6).
  public var configuration: ModelConfiguration {
    func model(
      vocabulary: Int, layers: Int, hidden: Int, intermediate: Int, heads: Int, kvHeads: Int,
      context: Int, theta: Double = 10_000, tied: Bool = true
    ) -> ModelConfiguration {
      ModelConfiguration(
        vocabularySize: vocabulary, layers: layers,
        attention: AttentionShape(heads: heads, kvHeads: kvHeads, headSize: hidden / heads),
        feedForward: FeedForwardConfiguration(
          hiddenSize: hidden, intermediateSize: intermediate, unit: .glu),
        contextLength: context, ropeTheta: theta, tiesEmbeddings: tied)
    }
    return switch self {
    case .nano:
      model(
        vocabulary: 257, layers: 4, hidden: 128, intermediate: 512, heads: 4, kvHeads: 4,
        context: 64)
    case .mini:
      model(
        vocabulary: 16384, layers: 8, hidden: 512, intermediate: 1536, heads: 8, kvHeads: 2,
        context: 1024)
    case .paperSmall:
      model(
        vocabulary: 50257, layers: 12, hidden: 768, intermediate: 3072, heads: 24, kvHeads: 6,
        context: 1024)
    case .paperLarge:
      model(
        vocabulary: 50257, layers: 16, hidden: 2048, intermediate: 8192, heads: 32, kvHeads: 8,
        context: 4096)
    case .llama1B:
      model(
        vocabulary: 128256, layers: 16, hidden: 2048, intermediate: 8192, heads: 32, kvHeads: 8,
        context: 131072, theta: 500_000)
    case .llama8B:
      model(
        vocabulary: 128256, layers: 32, hidden: 4096, intermediate: 14336, heads: 32, kvHeads: 8,
        context: 131072, theta: 500_000, tied: false)
    }
  }
}
