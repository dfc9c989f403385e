"""Tokenizers of the kinds that models come with give the same ids here, on a text of mixed scripts.

The files of GPT-2, Llama 3, Qwen and SmolLM cannot be had without a hub; tokenizers with their
components are trained in their place.
"""

import json
import pathlib
import random
import tempfile
import unicodedata
import unittest

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from support import mglu, run, write_json

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")
WORDS = """
the model's masks we'll I'VE they'D it'ſ don't 'tis o'clock naïve café e\u0301te\u0301 Ångström A\u030angstro\u0308m
привет мир Ελληνικά עברית العربيّة हिन्दी தமிழ் ไทย 日本語 漢字 かな 한국어 \u1112\u1161\u11ab 中文字符 ქართული Հայերեն አማርኛ
1 12 123 1234 98765 3.14159 ٣٤٥ ४५६ Ⅷ ½ x² 2024-06-23 0xFF 1e-9 v1.2.3 fi ﬁ ﷺ ㎏ \u212b \u2126 K
👍 👍🏽 👨‍👩‍👧‍👦 🇺🇳 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🤷🏻‍♀️ … — “quoted” «x» ¿qué? ¡no! a_b __init__ C++ C# f(x)=a+b; {"k":[1,2]} <p>x</p> #!/bin/sh
$HOME ~/.ssh user@example.org https://example.org/a?b=c&d=%20 || && -> => != ≥ ∑ √2 \\n \\t /* */ // --- *** ``` <|not|>
""".split()
SPACES = [" "] * 24 + ["\n", "\n\n", "\r\n", "\t", "  ", "    ", " \n", "\n  ", "\n\t\t", "\u00a0",
                       "\u2003", "\u200b", "\u3000", "\x85", " \r\n \n", ""]
CODE = """def f(x):\n    return [i ** 2 for i in range(x) if i % 2 == 0]\n\n
for (int i = 0; i < 10; ++i) {\n\tsum += a[i];\n}\nlet text = "naïve 🙂";  // done\n"""


def mixed_text(size, added=(), seed=3):
    """Deterministic text of words, scripts, code, emoji, odd spaces, single scalars and tokens."""
    generator = random.Random(seed)
    parts, length = [], 0
    while length < size:
        choice = generator.random()
        if choice < 0.02:
            part = CODE
        elif choice < 0.03 and added:
            part = generator.choice(added)
        elif choice < 0.1:
            part = assigned_scalar(generator)
        else:
            part = generator.choice(WORDS)
        parts += [part, generator.choice(SPACES)]
        length += len(parts[-2].encode()) + len(parts[-1].encode())
    return "".join(parts)


def assigned_scalar(generator):
    """Any character that Python knows."""
    while True:
        scalar = chr(generator.randrange(0x20, 0x20000))
        if unicodedata.category(scalar) not in ("Cn", "Cs", "Co"):
            return scalar


def byte_level(**settings):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **settings)


def split(digits):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN % digits), "isolated"), byte_level(use_regex=False)])


def special(*texts, normalized=False):
    return [AddedToken(text, special=True, normalized=normalized) for text in texts]


def train(kind):
    """A tokenizer with the components of `kind`, and its added tokens' texts."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    tokenizer.decoder = decoders.ByteLevel()
    added, late = special("<|endoftext|>"), []
    post = processors.ByteLevel(trim_offsets=False)
    if kind == "gpt2":
        tokenizer.pre_tokenizer = byte_level()
        added = special("<|endoftext|>", normalized=True)
    elif kind == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level()])
        added = special("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>")
    elif kind == "qwen":
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = split(r"\p{N}")
        late = special("<|endoftext|>", "<|im_start|>", "<|im_end|>") + [
            AddedToken("<tool_call>", special=False, normalized=False),
            AddedToken("caf\u00e9!", special=False, normalized=True)]
        added = []
    elif kind == "llama3":
        tokenizer.pre_tokenizer = split(r"\p{N}{1,3}")
        late = special("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")
        added = []
    text = mixed_text(200_000, seed=11)
    tokenizer.train_from_iterator(
        text.splitlines(keepends=True),
        trainers.BpeTrainer(
            vocab_size=3000, special_tokens=added, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_tokens(late)
    if kind == "llama3":
        start = "<|begin_of_text|>"
        post = processors.Sequence([
            post, processors.TemplateProcessing(
                single=f"{start} $A", pair=f"{start} $A {start} $B:1",
                special_tokens=[(start, tokenizer.token_to_id(start))])])
    tokenizer.post_processor = post
    return tokenizer, [token.content for token in added + late]


class Tokenizers(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def ours(self, file, path):
        return json.loads(
            mglu("tokenizer", "encode", "--tokenizer", file, "--data", path, "--json"))["ids"]

    def test_ids_on_a_megabyte(self):
        for kind in ("gpt2", "llama3", "qwen", "smollm"):
            with self.subTest(kind):
                tokenizer, added = train(kind)
                text = mixed_text(1_000_000, added)
                path, file = self.folder / "text.txt", self.folder / f"{kind}.json"
                path.write_bytes(text.encode())
                tokenizer.save(str(file))
                ours = self.ours(file, path)
                encoding = tokenizer.encode(text, add_special_tokens=False)
                print(f"{kind}: {len(text.encode())} bytes, {len(encoding.ids)} ids")
                if ours != encoding.ids:
                    at = next((i for i, (a, b) in enumerate(zip(ours, encoding.ids)) if a != b), 0)
                    start = encoding.offsets[at][0]
                    self.fail(f"id {at} near {text[start - 20:start + 20]!r}: "
                              f"{[tokenizer.id_to_token(i) for i in ours[at - 2:at + 4]]}, expected "
                              f"{[tokenizer.id_to_token(i) for i in encoding.ids[at - 2:at + 4]]}")

    def test_saved_tokenizers_are_read_there(self):
        """What train writes beside a model has the components of the tokenizer that it was given."""
        text = self.folder / "text.txt"
        text.write_bytes(mixed_text(30_000).encode())
        for kind in ("gpt2", "llama3", "qwen", "smollm"):
            with self.subTest(kind):
                tokenizer, added = train(kind)
                file = self.folder / f"{kind}.json"
                tokenizer.save(str(file))
                model = self.folder / kind
                mglu("train", "--data", text, "--tokenizer", file, "--output", model, "--steps", 1,
                     "--batch-size", 1, "--context", 16, "--layers", 1, "--hidden-size", 16,
                     "--intermediate-size", 16, "--heads", 2, "--eval-tokens", 32)
                again = Tokenizer.from_file(str(model / "tokenizer.json"))
                sample = mixed_text(30_000, added, seed=5)
                for special_tokens in (False, True):
                    self.assertEqual(
                        again.encode(sample, add_special_tokens=special_tokens).ids,
                        tokenizer.encode(sample, add_special_tokens=special_tokens).ids)

    def test_refusals(self):
        tokenizer, _ = train("qwen")
        file = self.folder / "tokenizer.json"
        tokenizer.save(str(file))
        original = file.read_text()
        cases = {
            "NFKC": lambda t: t.update(normalizer={"type": "NFKC"}),
            "the pattern": lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(
                pattern={"Regex": r"\w+"}),
            "Metaspace": lambda t: t.update(pre_tokenizer={
                "type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}),
            "add_prefix_space": lambda t: t["pre_tokenizer"]["pretokenizers"][1].update(
                add_prefix_space=True),
            "Unigram": lambda t: t["model"].update(type="Unigram"),
            "byte_fallback": lambda t: t["model"].update(byte_fallback=True),
            "lstrip": lambda t: t["added_tokens"][0].update(lstrip=True),
            "BertProcessing": lambda t: t.update(post_processor={
                "type": "BertProcessing", "sep": ["a", 1], "cls": ["b", 2]}),
        }
        for words, change in cases.items():
            with self.subTest(words):
                file.write_text(original)
                write_json(file, change)
                result = run("tokenizer", "encode", "--tokenizer", file, "--text", "a")
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(words, result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
