"""Token ids of the `tokenizers` package (pip install tokenizers) for frozen texts.

    python3 Tests/Reference/tokenizer_vectors.py

writes vectors/tokenizer.json, a small byte-level BPE, and vectors/tokenizer_ids.json; of the same
vocabulary with the components of Llama 3, Qwen 2 and SmolLM vectors/tokenizer_kinds.json. With a
tokenizer.json of ours as its argument it prints the ids of the same texts instead.
"""
import json
import os
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
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
