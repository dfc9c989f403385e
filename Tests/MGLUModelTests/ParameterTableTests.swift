import MGLUModel
import Testing

/// The list of parameters from which memory, files and counts follow. Both orders are frozen: moments
/// of a checkpoint lie as the parameters do, and equal models are files of equal bytes.
@Suite struct ParameterTableTests {
  private static func weights(
    _ unit: FeedForwardUnitKind, tied: Bool = false
  ) throws -> ModelWeights {
    try LanguageModel(
      ModelConfiguration(
        vocabularySize: 11, layers: 1, attention: .init(heads: 2, kvHeads: 1, headSize: 4),
        feedForward: .init(hiddenSize: 8, intermediateSize: 12, unit: unit), contextLength: 8,
        tiesEmbeddings: tied), on: CPUBackend(threads: 1)
    ).weights
  }

  private static func short(_ name: String) -> String {
    name.replacing("model.layers.0.", with: "").replacing(".weight", with: "")
  }

  @Test func filesKeepTheirOrder() throws {
    let attention = [
      "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
      "self_attn.o_proj", "post_attention_layernorm",
    ]
    let ends = ["mlp.down_proj", "model.norm", "lm_head"]
    for (unit, names) in [
      (FeedForwardUnitKind.lu, ["mlp.up_proj"]), (.sharedGLU, ["mlp.up_proj"]),
      (.glu, ["mlp.gate_proj", "mlp.up_proj"]),
      (
        .mglu(.init(count: 2, routerTopK: 1)),
        ["mlp.up_proj", "mlp.mask_logits", "mlp.router"]
      ),
    ] {
      let found = try Self.weights(unit).named.map { Self.short($0.name) }
      #expect(found == ["model.embed_tokens"] + attention + names + ends)
      let tied = try Self.weights(unit, tied: true).named.map { Self.short($0.name) }
      #expect(tied == found.dropLast())
    }
  }

  @Test(arguments: [MaskConfiguration.Kind.learned, .fixed])
  func memoryKeepsItsOrder(kind: MaskConfiguration.Kind) throws {
    let weights = try Self.weights(.mglu(.init(count: 2, kind: kind, routerTopK: 1)))
    let order = weights.named.sorted { $0.tensor.byteOffset < $1.tensor.byteOffset }
    let products = [
      "model.embed_tokens", "lm_head", "self_attn.q_proj", "self_attn.k_proj",
      "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj", "mlp.router",
    ]
    let norms = ["input_layernorm", "post_attention_layernorm", "model.norm"]
    let logits = ["mlp.mask_logits"]
    #expect(
      order.map { Self.short($0.name) }
        == (kind == .learned ? products + logits + norms : products + norms + logits))
    for (names, bytes) in [
      (products, weights.productBytes), (kind == .learned ? logits : [], weights.logitBytes),
      (norms, weights.vectorBytes),
    ] {
      let inside = order.filter { bytes.contains($0.tensor.byteOffset) }
      #expect(inside.map { Self.short($0.name) } == names)
    }
    #expect((weights.logitBytes.isEmpty) == (kind == .fixed))
  }
}
