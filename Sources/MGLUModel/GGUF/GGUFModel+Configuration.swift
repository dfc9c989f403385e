extension GGUFModel {
  /// The metadata as a `config.json`.
  func configuration() throws(CheckpointError) -> JSONValue {
    if let experts = try integer("expert_count"), experts > 0 {
      throw file.malformed(
        "\(architecture.name).expert_count", "is \(experts), expected no mixture of experts")
    }
    var keys: [(String, JSONValue)] = [("model_type", .string(architecture.modelType))]
    func add(_ key: String, _ value: Int?) { value.map { keys.append((key, .integer($0))) } }
    let rows = shape(of: "token_embd.weight")?.first
    add("vocab_size", rows == nil ? try integer("vocab_size") : rows)
    for (key, name) in [
      ("hidden_size", "embedding_length"), ("num_hidden_layers", "block_count"),
      ("max_position_embeddings", "context_length"),
    ] { add(key, try integer(name)) }
    let intermediate = try equalInteger("feed_forward_length")
    add("intermediate_size", intermediate)
    let heads = try equalInteger("attention.head_count")
    add("num_attention_heads", heads)
    let kvHeads = try equalInteger("attention.head_count_kv")
    add("num_key_value_heads", kvHeads ?? heads)
    let headSize = try headSize()
    add("head_dim", headSize)
    if let epsilon = try number("attention.layer_norm_rms_epsilon") {
      keys.append(("rms_norm_eps", .number(epsilon)))
    }
    keys.append(("hidden_act", .string("silu")))
    keys.append(("tie_word_embeddings", .bool(shape(of: "output.weight") == nil)))
    if architecture.modelType == "llama", shape(of: "blk.0.attn_q.bias") != nil {
      keys.append(("attention_bias", .bool(true)))
    }
    if architecture.modelType == "phi3" {
      add("sliding_window", try integer("attention.sliding_window"))
      let original = try integer("rope.scaling.original_context_length")
      add("original_max_position_embeddings", original)
    }
    // llama.cpp fixes it, and no key has it.
    if architecture.modelType == "smollm3" { add("no_rope_layer_interval", 4) }
    keys += try rotary(headSize: headSize)
    add("bos_token_id", try tokenID("bos"))
    add("eos_token_id", try tokenID("eos"))
    for (name, value) in [
      ("embedding_length", try integer("embedding_length")),
      ("block_count", try integer("block_count")), ("feed_forward_length", intermediate),
      ("attention.head_count", heads),
    ] where value == nil {
      throw file.malformed("\(architecture.name).\(name)", "is missing, expected an integer")
    }
    return .object(keys)
  }

  /// The ends of a text: that of a document and that of a turn.
  func generationConfiguration() throws(CheckpointError) -> JSONValue {
    var keys: [(String, JSONValue)] = []
    if let start = try tokenID("bos") { keys.append(("bos_token_id", .integer(start))) }
    var ends: [JSONValue] = []
    if let end = try tokenID("eos") { ends.append(.integer(end)) }
    if let turn = try tokenID("eot"), try turn != tokenID("eos") { ends.append(.integer(turn)) }
    if !ends.isEmpty { keys.append(("eos_token_id", ends.count == 1 ? ends[0] : .array(ends))) }
    return .object(keys)
  }

  /// The id of a token with a role, such as `bos`.
  func tokenID(_ role: String) throws(CheckpointError) -> Int? {
    let key = "tokenizer.ggml.\(role)_token_id"
    // Some writers say -1 for none.
    guard let id = try file.integer(key), id >= 0, id < Int(UInt32.max) else { return nil }
    return id
  }

  /// The integer of `key`, which may be given for each layer, then always the same.
  private func equalInteger(_ key: String) throws(CheckpointError) -> Int? {
    let whole = "\(architecture.name).\(key)"
    guard case .array = file.metadata[whole] else { return try integer(key) }
    let numbers = try file.numbers(whole) ?? []
    guard let first = numbers.first, numbers.allSatisfy({ $0 == first }),
      let value = Int(exactly: first)
    else { throw file.malformed(whole, "differs from layer to layer, expected one number") }
    return value
  }

  private func headSize() throws(CheckpointError) -> Int? {
    let (key, value) = (try integer("attention.key_length"), try integer("attention.value_length"))
    guard key == value else {
      throw file.malformed(
        "\(architecture.name).attention.key_length",
        "is \(key.map(String.init) ?? "missing"), attention.value_length is "
          + "\(value.map(String.init) ?? "missing"), expected the same")
    }
    if let key { return key }
    // Converters of Llamas name the size of a head only so.
    return architecture.modelType == "llama" ? try integer("rope.dimension_count") : nil
  }

  /// The keys of rotary positions.
  private func rotary(headSize: Int?) throws(CheckpointError) -> [(String, JSONValue)] {
    let theta = try number("rope.freq_base") ?? 10_000
    var keys: [(String, JSONValue)] = [("rope_theta", .number(theta))]
    var size = headSize
    if size == nil, let h = try integer("embedding_length"),
      let heads = try equalInteger("attention.head_count"), heads > 0, h > 0, h % heads == 0
    {
      size = h / heads
    }
    if let rotated = try integer("rope.dimension_count"), let size, size > 0, rotated != size {
      keys.append(("partial_rotary_factor", .number(Double(rotated) / Double(size))))
    }
    if let scaling = try scaling(theta: theta) { keys.append(("rope_scaling", .object(scaling))) }
    return keys
  }

  private func scaling(theta: Double) throws(CheckpointError) -> [(String, JSONValue)]? {
    if let factors = try floats("rope_freqs.weight") {
      return try GGUFRopeFactors.llama3Keys(factors, theta: theta, of: file)
    }
    let original = try integer("rope.scaling.original_context_length")
    if let long = try floats("rope_factors_long.weight") {
      var keys: [(String, JSONValue)] = [
        ("rope_type", .string("longrope")),
        ("long_factor", .array(long.map { .number(Double($0)) })),
      ]
      if let short = try floats("rope_factors_short.weight") {
        keys.append(("short_factor", .array(short.map { .number(Double($0)) })))
      }
      if let original { keys.append(("original_max_position_embeddings", .integer(original))) }
      if let factor = try number("rope.scaling.attn_factor") {
        keys.append(("attention_factor", .number(factor)))
      }
      return keys
    }
    guard let type = try string("rope.scaling.type"), type != "none" else { return nil }
    var keys: [(String, JSONValue)] = [("rope_type", .string(type))]
    if let factor = try number("rope.scaling.factor") { keys.append(("factor", .number(factor))) }
    if let original { keys.append(("original_max_position_embeddings", .integer(original))) }
    return keys
  }

  /// The elements of a small tensor of F32.
  private func floats(_ name: String) throws(CheckpointError) -> [Float]? {
    guard let entry = file.entries.first(where: { $0.name == name }) else { return nil }
    guard entry.type == .f32, entry.shape.count == 1 else {
      throw file.malformed(name, "is \(entry.type.name) \(entry.shape), expected F32 of one size")
    }
    let bytes = UnsafeRawBufferPointer(
      rebasing: UnsafeRawBufferPointer(file.arena.elements(.uint8).bytes)[entry.byteRange])
    return (0..<entry.shape[0]).map {
      Float(bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
    }
  }
}
