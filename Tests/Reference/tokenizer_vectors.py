"""Token ids of the `tokenizers` package (pip install tokenizers) for frozen texts.

    python3 Tests/Reference/tokenizer_vectors.py

writes vectors/tokenizer.json, a small byte-level BPE, and vectors/tokenizer_ids.json; of the same
vocabulary with the components of Llama 3, Qwen 2 and SmolLM vectors/tokenizer_kinds.json, with many
patterns, pre-tokenizers and normalizers vectors/tokenizer_components.json. The vocabulary of
vectors/tokenizer_characters.json is one of characters with byte fallback, as SentencePiece makes it.
With a tokenizer.json of ours as its argument it prints the ids of the same texts instead.
"""
import json
import os
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
TRAINING = [
    "The quick brown fox jumps over the lazy dog. It's what they've said, we'll see, I'm sure.",
    "Ein Gürteltier läuft über die Straße. Où est la bibliothèque? ¿Dónde está?",
    "func add(_ a: Int, _ b: Int) -> Int {\n    return a + b  // 12345 67.89\n}\n",
    "Привет, мир! Привет, мир! Γειά σου Κόσμε. 日本語のテキスト。日本語。 한국어 문장.",
    "for i in range(10):\n\tprint(i, end=' ')\n", "don't can't won't they'd he's you're",
    "the of and to in is that for it as was with be by on not he his but at are this have from",
] * 3
TEXTS = [
    "", " ", "  ", "a", "Hello, world!", "It's they're we've I'm you'll he'd 'S 'RE ''ll",
    "  leading and trailing  ", "tabs\tand\nnew\n\nlines\r\n", "a  b   c    d",
    "1234567890 3.14 ½ ² Ⅷ ٣٤٥ 一二三", "func f<T>(x: T) -> [T] { return [x] } // ok?",
    "Привет, мир", "日本語のテキスト", "한국어 문장", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया",
    "👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️", "e\u0301 a\u0308 ö", "x\u00a0y\u2003z\u3000w", "zero\u200bwidth\ufeff",
    "<|endoftext|>", "one<|endoftext|>two", " <|endoftext|> \n<|endoftext|>", "<|endoftext",
    "___---===!!!???...", "snake_case camelCase UPPER_CASE", "\u0000\u0001\u007f\u0085",
    "ﬁ ß ŉ ǆ İ ı", "𝒳𝓎𝓏 𐍈 𠜎", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the the the", "\n \n  \n", " \t x", "don't  can't", "I'LL 'ſ \r\n\r\n x!\n\n!", "\tif (x) {\n\t\ty\n\t}",
    "a1b22c333d4444 5 66", "\u1112\u1161\u11ab \u212b \u0344",
]

if len(sys.argv) > 1:
    ours = Tokenizer.from_file(sys.argv[1])
    for text in TEXTS:
        print(" ".join(map(str, ours.encode(text).ids)))
    sys.exit()
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
    vocab_size=600, special_tokens=["<|endoftext|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tokenizer.save(os.path.join(HERE, "tokenizer.json"))
vectors = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
with open(os.path.join(HERE, "tokenizer_ids.json"), "w") as file:
    json.dump(vectors, file, ensure_ascii=True, indent=0)

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(digits):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN % digits), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


KINDS = {
    "llama3": dict(
        pre_tokenizer=split(r"\p{N}{1,3}"), post_processor=processors.TemplateProcessing(
            single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|> $B:1",
            special_tokens=[("<|endoftext|>", 0)])),
    "qwen2": dict(pre_tokenizer=split(r"\p{N}"), normalizer=normalizers.NFC()),
    "smollm": dict(pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])),
}
PARTS = ("normalizer", "pre_tokenizer", "post_processor")
result = {}
for kind, components in KINDS.items():
    other = Tokenizer.from_str(tokenizer.to_str())
    for name, component in components.items():
        setattr(other, name, component)
    described = json.loads(other.to_str())
    described["model"]["ignore_merges"] = kind == "llama3"
    other = Tokenizer.from_str(json.dumps(described))
    result[kind] = {
        "components": {part: described[part] for part in PARTS},
        "ignore_merges": described["model"]["ignore_merges"],
        "ids": [other.encode(text, add_special_tokens=False).ids for text in TEXTS],
        "start": other.encode("").ids,
    }
with open(os.path.join(HERE, "tokenizer_kinds.json"), "w") as file:
    json.dump(result, file, ensure_ascii=True, indent=0)

# Patterns of models, and of each part of the syntax.
PATTERNS = [
    # cl100k, o200k, tekken, DeepSeek V3, Kimi K2
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
    r"|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\u4e00-\x{9fa5}\u3040-\u309f\u30a0-\u30ff]+", r"\p{N}{1,3}", r"\d{1,3}(?=(?:\d{3})*\b)",
    r"(?:^|\b)\w+?(?=\b|$)", r"(?<=\p{Ll})(?=\p{Lu})", r"(?<![a-z])[a-z]{2,4}?", r"(?>\w+)\s|\W",
    r"(\p{L}+|\d)*x?", r"^.*$", r"(?m:.{3})", r"[[:alpha:]]+|[[:punct:]]|[[:space:]]", r"\A\s*|\s*\z",
    r"[^[:^alpha:]\d]+", r"(?i)[a-k]+|straSSe", r"\h+|\H", r"x*?", r" ?\p{Alphabetic}+", r"(a|e|\s)+?\S",
    "(?x) \\p{L}+ # words\n | \\s+", r"(?:\p{L}\p{M}*+)+|.", r"\p{Hangul}+|\p{Cyrillic}+|\p{Greek}",
    r"(?!a)\w{2}|..?", r"\s{2,}", r"(?:ab?|c){2,3}d?", r"((a?)*)*b?", r"\p{^L}\P{^N}", r"\Z|\n",
    r"(?<=a|er)\B.", r"[^\W\d_]+(?<name>')?(?# comment)", r"[]a-]{,2}", r"\x41|\t|\e|[\b]|\/",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
SAMPLES = [TEXTS[i] for i in (5, 6, 7, 9, 10, 11, 12, 13, 16, 17, 18, 20, 25, 27, 28, 32, 33, 34, 35, 36)] + [
    "HTTPServer camelCase ǅungla aberrant abcab", "ααβ Ωμέγα a\u0f73\u0f71\u0f72 \u0344 \u1e9b\u0323 ㎏ﷺ①",
]


def regex(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def level(space=False, use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": use_regex}


CUTS = [[regex(pattern)] for pattern in PATTERNS]
CUTS += [[regex(PATTERNS[0], behavior, invert)] for behavior in BEHAVIORS for invert in (False, True)]
CUTS += [[regex(r"\s+", behavior)] for behavior in BEHAVIORS]
CUTS += [[{"type": "Split", "pattern": {"String": "ab"}, "behavior": behavior, "invert": False}]
         for behavior in BEHAVIORS]
CUTS += [[{"type": "Punctuation", "behavior": behavior}] for behavior in BEHAVIORS]
CUTS += [
    [{"type": "Digits", "individual_digits": False}], [{"type": "Digits", "individual_digits": True}],
    [{"type": "Whitespace"}], [{"type": "WhitespaceSplit"}], [level(True, True)], [level(False, True)],
    [{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}],
    # DeepSeek V3, Falcon
    [regex(PATTERNS[6]), regex(PATTERNS[5]), regex(PATTERNS[3])],
    [{"type": "Punctuation", "behavior": "Contiguous"}, level(False, True),
     {"type": "Digits", "individual_digits": False}, regex("[0-9][0-9][0-9]")],
]
FORMS = [[{"type": form}] for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")] + [
    [{"type": "Strip", "strip_left": True, "strip_right": True}],
    [{"type": "Prepend", "prepend": "the"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}],
    [{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, {"type": "NFKC"}],
]


def component(parts, name):
    return parts[0] if len(parts) == 1 else {"type": "Sequence", name: parts}


cases = []
for cut, form in [(cut, []) for cut in CUTS] + [([], form) for form in FORMS]:
    last = any(part["type"] == "ByteLevel" for part in cut)
    described = json.loads(tokenizer.to_str())
    described["pre_tokenizer"] = component(cut if last else cut + [level()], "pretokenizers")
    described["normalizer"] = component(form, "normalizers") if form else None
    other = Tokenizer.from_str(json.dumps(described))
    cases.append({
        "pre_tokenizer": described["pre_tokenizer"], "normalizer": described["normalizer"],
        "ids": [other.encode(text).ids for text in SAMPLES]})
with open(os.path.join(HERE, "tokenizer_components.json"), "w") as file:
    json.dump({"texts": SAMPLES, "cases": cases}, file, ensure_ascii=True, separators=(",", ":"))

# A vocabulary of characters, with a token for each byte.
SPACE = "\u2581"
characters = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
characters.pre_tokenizer = pre_tokenizers.Metaspace()
characters.train_from_iterator(TRAINING, trainers.BpeTrainer(
    vocab_size=560, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)],
    show_progress=False))
described = json.loads(characters.to_str())
described["added_tokens"] = described["added_tokens"][:3]
ending = [{"type": "ByteFallback"}, {"type": "Fuse"}]
to_space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
from_space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}
FAMILIES = {
    "llama2": dict(
        normalizer=component([{"type": "Prepend", "prepend": SPACE}, from_space], "normalizers"),
        decoder=component([to_space] + ending + [strip], "decoders")),
    "gemma": dict(normalizer=from_space, decoder=component([to_space] + ending, "decoders")),
    "mistral": dict(
        pre_tokenizer=metaspace, decoder=component([to_space] + ending + [strip], "decoders")),
    "metaspace": dict(
        pre_tokenizer=dict(metaspace, prepend_scheme="always", split=True), decoder=metaspace,
        byte_fallback=False),
    "no_bytes": dict(
        normalizer=from_space, decoder=component([to_space] + ending, "decoders"), lacking=7,
        fuse_unk=False),
    "added": dict(
        normalizer=component([{"type": "Prepend", "prepend": SPACE}, from_space], "normalizers"),
        decoder=component([to_space] + ending + [strip], "decoders"), added=[
            AddedToken("lazy", lstrip=True, rstrip=True, normalized=False),
            AddedToken("over", single_word=True, normalized=False),
            AddedToken("  x", normalized=True), AddedToken("the", normalized=False)]),
}
TEXTS2 = TEXTS + [
    "<s>Hello</s> the <unk>", "so lazy  over the lazy, overtaken over\nlazy over", "a  x and  x", "<0x41>\u2581 \u2581"]
families = {}
for name, changes in FAMILIES.items():
    document = json.loads(json.dumps(described))
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        document[part] = changes.get(part)
    for part in ("byte_fallback", "fuse_unk"):
        document["model"][part] = changes.get(part, True)
    for byte in range(0x80, 0x100, changes.get("lacking", 0x80)):
        if "lacking" in changes:
            del document["model"]["vocab"][f"<0x{byte:02X}>"]
    other = Tokenizer.from_str(json.dumps(document))
    other.add_tokens(changes.get("added", []))
    document = json.loads(other.to_str())
    ids = [other.encode(text).ids for text in TEXTS2]
    families[name] = {
        "document": {key: value for key, value in document.items() if key != "model"},
        "model": {key: value for key, value in document["model"].items() if key not in ("vocab", "merges")},
        "lacking": changes.get("lacking"), "ids": ids,
        "texts": [other.decode(some, skip_special_tokens=False) for some in ids]}
with open(os.path.join(HERE, "tokenizer_characters.json"), "w") as file:
    json.dump({"model": described["model"], "texts": TEXTS2, "families": families}, file,
              ensure_ascii=True, separators=(",", ":"))
