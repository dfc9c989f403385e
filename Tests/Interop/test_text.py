"""A Llama with its tokenizer says the same text here as there, and finds a text as probable."""

import json
import pathlib
import tempfile
import unittest

import torch

from support import mglu
from test_llama_in import LLAMA3, llama
from test_tokenizers import train
from texts import mixed_text

PROMPT = "The masks we'll see: 12345"


class Text(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.tokenizer, _ = train("llama3")
        self.model = llama(vocab_size=self.tokenizer.get_vocab_size(), num_key_value_heads=2,
                           rope_parameters=LLAMA3).eval()
        self.model.generation_config.eos_token_id = None
        self.model.save_pretrained(self.folder, max_shard_size="500KB")
        self.tokenizer.save(str(self.folder / "tokenizer.json"))

    def test_generate(self):
        """Greedy, with the token that the template puts first."""
        ids = self.tokenizer.encode(PROMPT).ids
        self.assertEqual(ids[0], self.tokenizer.token_to_id("<|begin_of_text|>"))
        with torch.no_grad():
            theirs = self.model.generate(
                torch.tensor([ids]), max_new_tokens=24, do_sample=False, pad_token_id=0)[0]
        ours = json.loads(mglu(
            "generate", "--model", self.folder, "--prompt", PROMPT, "--max-tokens", 24,
            "--temperature", 0, "--input-precision", "fp32", "--json"))
        self.assertEqual(ours["prompt_tokens"], len(ids))
        self.assertEqual(ours["text"], self.tokenizer.decode(theirs[len(ids):].tolist()))

    def test_evaluate(self):
        text = mixed_text(400)
        path = self.folder / "text.txt"
        path.write_bytes(text.encode())
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        self.assertLess(len(ids), 256)
        with torch.no_grad():
            theirs = self.model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
        ours = json.loads(mglu("evaluate", "--model", self.folder, "--data", path, "--json"))
        self.assertEqual(ours["tokens"], len(ids) - 1)
        self.assertAlmostEqual(ours["loss"], theirs, delta=1e-4)
