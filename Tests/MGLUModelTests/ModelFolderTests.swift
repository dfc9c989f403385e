import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct ModelFolderTests {
  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .sharedGLU, .mglu(.init(count: 3)),
    .mglu(.init(count: 2, kind: .fixed)), .mglu(.init(count: 2, ablation: .noValueMask)),
    .mglu(.init(count: 3, routerTopK: 2)),
  ]

  @Test(arguments: units, [true, false])
  func savedModelsAreReadBack(unit: FeedForwardUnitKind, tied: Bool) throws {
    try withTemporaryFolder { folder in
      let model = try LlamaExportTests.model(unit, tied: tied)
      try ModelFolder.save(model, to: folder)
      let again = try ModelFolder.load(folder, on: CPUBackend(threads: 2))
      #expect(again.configuration == model.configuration)
      #expect(again.logits(LlamaExportTests.tokens) == model.logits(LlamaExportTests.tokens))
    }
  }

  /// Replacements in a valid config.json that leave no model, or another one than the weights'.
  @Test(arguments: [
    ("\"hidden_size\" : 24", "\"hidden_size\" : 0"),
    ("\"hidden_size\" : 24", "\"hidden_size\" : 48"),
    ("\"hidden_size\" : 24", "\"hidden_size\" : 2000000000"),
    ("\"hidden_size\" : 24", "\"hidden_size\" : \"24\""),
    ("\"vocab_size\" : 41", "\"vocab_size\" : 2000000000"),
    ("\"vocab_size\" : 41", "\"vocab_size\" : -1"),
    ("\"num_masks\" : 3", "\"num_masks\" : 0"), ("\"num_masks\" : 3", "\"num_masks\" : 17"),
    ("\"num_masks\" : 3", "\"num_masks\" : 4"),
    ("\"num_masks\" : 3", "\"num_masks\" : 3, \"router_top_k\" : 4"),
    ("\"mask_kind\" : \"learned\"", "\"mask_kind\" : \"soft\""),
    ("\"mlp_type\" : \"mglu\"", "\"mlp_type\" : \"glu\""),
    ("\"mlp_type\" : \"mglu\"", "\"mlp_type\" : \"moe\""),
    ("\"model_type\" : \"mglu\"", "\"model_type\" : \"llama\""),
    ("\"model_type\" : \"mglu\"", "\"model_type\" : \"bert\""),
    ("\"num_hidden_layers\" : 3", "\"num_hidden_layers\" : 2"),
    ("\"num_hidden_layers\" : 3", "\"num_hidden_layers\" : 2000000000"),
    ("\"num_attention_heads\" : 4", "\"num_attention_heads\" : 5"),
    ("\"num_key_value_heads\" : 2", "\"num_key_value_heads\" : 3"),
    ("\"head_dim\" : 6", "\"head_dim\" : 5"),
    ("\"mlp_bias\" : false", "\"mlp_bias\" : true"),
    ("\"mlp_bias\" : false", "\"mlp_bias\" : false, \"rope_scaling\" : {\"type\" : \"yarn\"}"),
    ("\"hidden_act\" : \"silu\"", "\"hidden_act\" : \"mish\""),
  ])
  func configurationsThatDisagreeAreRefused(old: String, new: String) throws {
    try withTemporaryFolder { folder in
      var configuration = try LlamaExportTests.model(.mglu(.init(count: 3))).configuration
      configuration.feedForward.hiddenSize = 24
      let model = try LanguageModel(configuration, on: CPUBackend(threads: 1))
      try ModelFolder.save(model, to: folder)
      let path = folder + "/config.json"
      let text = String(decoding: try MappedFile(path: path).contents, as: UTF8.self)
      let parts = text.split(separator: old, maxSplits: 1)
      try #require(parts.count == 2, "\(old) is not in \(text)")
      try AtomicFile.write(Array((parts[0] + new + parts[1]).utf8), to: path)
      #expect(throws: CheckpointError.self) {
        try ModelFolder.load(folder, on: CPUBackend(threads: 1))
      }
    }
  }

  @Test func runsInProgressAreFoundByTheirNewestCheckpoint() throws {
    try withTemporaryFolder { folder in
      #expect(throws: CheckpointError.self) { try ModelFolder.locate(folder) }
      #expect(throws: CheckpointError.self) { try ModelFolder.locate(folder + "/none") }
      for name in ["checkpoint-000200", "checkpoint-1000000", "checkpoint-x", ".checkpoint-9"] {
        try Folder.create(folder + "/" + name)
      }
      #expect(try ModelFolder.locate(folder) == folder + "/checkpoint-1000000")
      try AtomicFile.write([], to: folder + "/config.json")
      #expect(try ModelFolder.locate(folder) == folder)
    }
  }
}
