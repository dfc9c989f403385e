import MGLUModel
import MGLUTestSupport

/// GGUF files.
enum GGUFTargets {
  static func file(_ bytes: [UInt8]) throws(FuzzFinding) {
    try Scratch.withFolder(["model.gguf": bytes]) { folder in
      let path = folder + "/model.gguf"
      let file = try GGUFFile(path: path)
      for entry in file.entries where entry.byteRange.upperBound > bytes.count {
        throw FuzzFinding("\(entry) of a file of \(bytes.count) bytes")
      }
      if let tokenizer = try? Tokenizer(contentsOf: path) {
        let ids = tokenizer.encode("Hello 12 e\u{301}\n日")
        _ = tokenizer.decode(ids)
      }
      if let template = try? ChatTemplate(contentsOf: path) {
        _ = try? template.render([ChatMessage(role: "user", content: "Hi")])
      }
      _ = try? ModelFolder.configuration(in: path)
      try Scratch.generate(path)
    }
  }

  /// The keys of an architecture with small values, tensors of their sizes, and a tokenizer; each may be
  /// missing or wrong.
  static func architecture(_ bytes: [UInt8]) throws(FuzzFinding) {
    var choices = ByteChoices(bytes)
    let name = choices.pick([
      "llama", "qwen2", "qwen3", "smollm3", "phi3", "mistral", "gemma", "no_such",
    ])
    var numbers: [(String, UInt32)] = [
      ("block_count", 1), ("context_length", 32), ("embedding_length", 8),
      ("feed_forward_length", 12),
      ("attention.head_count", 2), ("attention.head_count_kv", 1), ("attention.key_length", 4),
      ("attention.value_length", 4), ("rope.dimension_count", 4), ("vocab_size", 16),
    ]
    for index in numbers.indices where choices.isOne(of: 12) {
      numbers[index].1 = choices.pick([0, 1, 3, 1 << 16, .max, 7, 64])
    }
    numbers.removeAll { _ in choices.isOne(of: 12) }
    var keys: [(inout GGUFBytes) -> Void] = numbers.map { key, value in
      { $0 = $0.key("\(name).\(key)", value) }
    }
    keys.append { $0 = $0.key("general.architecture", name) }
    let epsilon = choices.pick([Float(1e-5), 0, .nan, -1]).bitPattern
    keys.append { file in
      file = file.key("\(name).attention.layer_norm_rms_epsilon", type: 6)
      file.number(epsilon)
    }
    let words = ["<unk>", "<s>", "</s>"] + (0..<13).map { _ in choices.text() + "a" }
    let (model, pre) = (
      choices.pick(["gpt2", "llama", "bert", "no_vocab"]),
      choices.pick(["llama-bpe", "qwen2", "smollm", "default", "gpt-2", "no-such"])
    )
    let types = (0..<16).map { _ in UInt32(choices.number(below: 8)) }
    let scores = choices.isOne(of: 3)
    keys += [
      { $0 = $0.key("tokenizer.ggml.model", model) }, { $0 = $0.key("tokenizer.ggml.pre", pre) },
      { file in
        file = file.array("tokenizer.ggml.tokens", type: 8, count: UInt64(words.count))
        for word in words { file.string(word) }
      },
      { file in
        file = file.array("tokenizer.ggml.token_type", type: 5, count: UInt64(types.count))
        for type in types { file.number(type) }
      },
      { file in
        file = file.array("tokenizer.ggml.merges", type: 8, count: 2)
        for merge in ["a a", "aa a"] { file.string(merge) }
      },
      { file in
        guard scores else { return file = file.key("tokenizer.chat_template", "{{ messages }}") }
        file = file.array("tokenizer.ggml.scores", type: 6, count: UInt64(words.count))
        for index in words.indices { file.number((-Float(index)).bitPattern) }
      },
    ]
    keys.removeAll { _ in choices.isOne(of: 16) }
    let type = choices.pick([UInt32(0), 1, 30, 8, 2, 12, 5])
    var tensors: [(String, [UInt64], UInt32)] = [
      ("token_embd.weight", [8, 16], type), ("output_norm.weight", [8], 0),
      ("output.weight", [8, 16], type),
    ]
    for (tensor, sizes) in [
      ("attn_norm", [8]), ("ffn_norm", [8]), ("attn_q", [8, 8]), ("attn_k", [8, 4]),
      ("attn_v", [8, 4]),
      ("attn_output", [8, 8]), ("ffn_gate", [8, 12]), ("ffn_up", [8, 12]), ("ffn_down", [12, 8]),
    ] as [(String, [UInt64])] {
      tensors.append(("blk.0.\(tensor).weight", sizes, sizes.count == 1 ? 0 : type))
    }
    tensors.removeAll { _ in choices.isOne(of: 24) }
    var file = GGUFBytes(tensors: UInt64(tensors.count), keys: UInt64(keys.count))
    for key in keys { key(&file) }
    var offset: UInt64 = 0
    for (tensor, sizes, type) in tensors {
      let sizes = choices.isOne(of: 40) ? sizes + [choices.pick([1, 2, 1 << 40])] : sizes
      file = file.tensor(
        tensor, sizes, type: type,
        offset: choices.isOne(of: 40) ? choices.pick([1, 1 << 62]) : offset)
      offset += (sizes.reduce(4, *) + 31) / 32 * 32
    }
    let count = Int(min(offset, 1 << 16)) - (choices.isOne(of: 24) ? 40 : 0)
    try self.file(file.data(max(0, count)).bytes)
  }
}
