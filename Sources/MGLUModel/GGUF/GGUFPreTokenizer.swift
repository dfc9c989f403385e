/// The ways to cut text into words that llama.cpp has names for, as `tokenizer.json` spells them.
///
/// Where llama.cpp rewrote a model's pattern for its own engine, this is the pattern of the model.
package struct GGUFPreTokenizer: Sendable {
  /// A step of cutting; ByteLevel ends every list.
  package enum Step: Sendable, Equatable {
    case digits
    case split(String)
    case byteLevel(usesPattern: Bool)
  }

  /// llama.cpp's names in `tokenizer.ggml.pre`, the one to write first.
  package let names: [String]
  package let steps: [Step]
  /// Whether a word that is a token is that token, without regard to merges.
  package var ignoresMerges = false
  /// Whether a sequence begins with a token where the file does not say.
  package var addsStart = false
  /// Whether text is brought into Unicode's composed form first.
  package var composes = false

  private static let gpt2 =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"#
  private static let upper = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
  private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
  private static let slashed = #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let endings = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

  private static func split(_ patterns: String...) -> [Step] {
    patterns.map { .split($0) } + [.byteLevel(usesPattern: false)]
  }

  package static let all = [
    GGUFPreTokenizer(
      names: [
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      ],
      steps: split(WordScanner.llama3Pattern), ignoresMerges: true, addsStart: true),
    GGUFPreTokenizer(
      names: ["smaug-bpe", "dbrx", "chatglm-bpe", "glm4"], steps: split(WordScanner.llama3Pattern)),
    GGUFPreTokenizer(
      names: ["qwen2"], steps: split(WordScanner.qwen2Pattern), composes: true),
    GGUFPreTokenizer(
      names: ["stablelm2", "deepseek-r1-qwen", "hunyuan", "megrez", "grok-2"],
      steps: split(WordScanner.qwen2Pattern)),
    GGUFPreTokenizer(
      names: ["qwen35"],
      steps: split(
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"#
          + #"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#), composes: true),
    GGUFPreTokenizer(
      names: [
        "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "granite-docling",
        "gigachat", "a.x-4.0", "mellum",
      ],
      steps: [.byteLevel(usesPattern: true)]),
    GGUFPreTokenizer(
      names: [
        "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
        "mellum2",
      ],
      steps: [.digits, .byteLevel(usesPattern: true)]),
    GGUFPreTokenizer(
      names: ["tekken"],
      steps: split("\(upper)*\(lower)+|\(upper)+\(lower)*|" + #"\p{N}"# + slashed),
      ignoresMerges: true, addsStart: true),
    GGUFPreTokenizer(
      names: ["gpt-4o", "llama4", "kanana2"],
      steps: split(
        "\(upper)*\(lower)+\(endings)|\(upper)+\(lower)*\(endings)|" + #"\p{N}{1,3}"# + slashed)),
    GGUFPreTokenizer(
      names: ["falcon"],
      steps: split(#"[\p{P}\$\+<=>\^~\|`]+"#, gpt2, "[0-9][0-9][0-9]")),
    GGUFPreTokenizer(
      names: ["default"],
      steps: split(#"[\p{P}\$\+<=>\^~\|]+"#, gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]")),
  ]

  /// The way that llama.cpp calls `name`.
  package static func named(_ name: String) -> GGUFPreTokenizer? {
    all.first { $0.names.contains(name) }
  }

  /// The pre-tokenizer of a `tokenizer.json`.
  var document: JSONValue {
    let parts = steps.map(\.document)
    return parts.count == 1
      ? parts[0] : .object([("type", .string("Sequence")), ("pretokenizers", .array(parts))])
  }
}

extension GGUFPreTokenizer.Step {
  /// The component of a `tokenizer.json`.
  var document: JSONValue {
    switch self {
    case .digits: .object([("type", .string("Digits")), ("individual_digits", .bool(true))])
    case .split(let pattern):
      .object([
        ("type", .string("Split")), ("pattern", .object([("Regex", .string(pattern))])),
        ("behavior", .string("Isolated")), ("invert", .bool(false)),
      ])
    case .byteLevel(let usesPattern):
      .object([
        ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)),
        ("trim_offsets", .bool(true)), ("use_regex", .bool(usesPattern)),
      ])
    }
  }
}
