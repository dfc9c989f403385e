"""Tokenizers of the kinds that models come with give the same ids here, on a text of mixed scripts.

Tokenizers with the components of models are trained here; test_real_tokenizers.py has the files of
models.
"""

import json
import pathlib
import random
import tempfile
import unittest

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from support import mglu, run, write_json
from texts import mixed_text

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


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


ATOMS = [r"\p{L}", r"\p{N}", r"\s", r"\S", "a", "e", "[a-f]", "[^a-z]", r"[\p{Lu}\d]", ".", r"\w", "'", " ", r"\b",
         "(?=a)", r"(?!\s)", "(?<=e)", r"[\r\n]", "^", "$", r"[\p{L}&&[^\p{Han}]]", r"\p{M}", "é", "K"]
ENDINGS = ["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "*?", "+?", "??", "++", "*+", "?+", "{1,2}?"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def random_pattern(generator, depth=3):
    choice = generator.random()
    parts = [random_pattern(generator, depth - 1) for _ in range(generator.randrange(1, 4))] if depth else []
    if not depth or choice < 0.35:
        node = generator.choice(ATOMS)
        if node.startswith("(?") or node in ("^", "$", r"\b"):
            return node
    elif choice < 0.6:
        return "".join(parts)
    elif choice < 0.9:
        node = generator.choice(["(?:", "(", "(?i:", "(?>"]) + "|".join(parts) + ")"
    else:
        return generator.choice(["(?=", "(?!"]) + parts[0] + ")"
    return node + generator.choice(ENDINGS) if generator.random() < 0.5 else node


def random_components(generator):
    """A pre-tokenizer and a normalizer."""
    cuts = [
        lambda: {"type": "Split", "pattern": {"Regex": random_pattern(generator)},
                 "behavior": generator.choice(BEHAVIORS), "invert": generator.random() < 0.25},
        lambda: {"type": "Split", "pattern": {"String": generator.choice([" ", "a", "é", "--"])},
                 "behavior": generator.choice(BEHAVIORS), "invert": False},
        lambda: {"type": "Digits", "individual_digits": generator.random() < 0.5},
        lambda: {"type": "Punctuation", "behavior": generator.choice(BEHAVIORS)},
        lambda: {"type": "Whitespace"}, lambda: {"type": "WhitespaceSplit"},
        lambda: {"type": "Metaspace", "replacement": "\u2581",
                 "prepend_scheme": generator.choice(["always", "first", "never"]), "split": generator.random() < 0.5},
    ]
    forms = [
        lambda: {"type": generator.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase"])},
        lambda: {"type": "Prepend", "prepend": "\u2581"},
        # The package garbles its offsets, or panics, where a pattern that is replaced matches nothing.
        lambda: {"type": "Replace", "pattern": {"Regex": r"\s+|x+"}, "content": generator.choice(["", "ab"])},
        lambda: {"type": "Strip", "strip_left": True, "strip_right": generator.random() < 0.5},
    ]
    last = {"type": "ByteLevel", "add_prefix_space": generator.random() < 0.5, "trim_offsets": True,
            "use_regex": generator.random() < 0.3}
    return {"type": "Sequence", "pretokenizers": [
        *(generator.choices(cuts, weights=[6, 1, 1, 1, 1, 1, 1])[0]() for _ in range(generator.randrange(1, 3))), last]}, {
        "type": "Sequence", "normalizers": [generator.choice(forms)() for _ in range(generator.randrange(3))]}


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

    def test_random_components(self):
        tokenizer, _ = train("gpt2")
        document = json.loads(tokenizer.to_str())
        path, file = self.folder / "text.txt", self.folder / "tokenizer.json"
        compared = 0
        for seed in range(150):
            document["pre_tokenizer"], document["normalizer"] = random_components(random.Random(seed))
            text = mixed_text(4_000, seed=seed)
            path.write_bytes(text.encode())
            file.write_text(json.dumps(document))
            try:
                theirs = Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids
            except BaseException:  # Oniguruma refuses the pattern, or the package panics.
                continue
            with self.subTest(seed):
                self.assertEqual(self.ours(file, path), theirs)
            compared += 1
        print(f"random components: {compared} compared")
        self.assertGreater(compared, 130)

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
            "Precompiled": lambda t: t.update(normalizer={
                "type": "Precompiled", "precompiled_charsmap": ""}),
            r"\X": lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(
                pattern={"Regex": r"\X+"}),
            "UnicodeScripts": lambda t: t.update(pre_tokenizer={"type": "UnicodeScripts"}),
            "WordPiece": lambda t: t.update(decoder={
                "type": "WordPiece", "prefix": "##", "cleanup": True}),
            "Unigram": lambda t: t["model"].update(type="Unigram", vocab=[["a", -1.0]]),
            "prefix or suffix": lambda t: t["model"].update(end_of_word_suffix="</w>"),
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
