"""Chats become the same text here as under transformers, with templates of the shapes that models
come with."""

import json
import pathlib
import tempfile
import unittest

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from support import run

VECTORS = pathlib.Path(__file__).parents[1] / "Reference/vectors/chat_templates.json"


class ChatTemplates(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        (self.folder / "config.json").write_text("{}")
        # Those that a chat alone makes: not the expressions of other vectors, which have variables of their own.
        known = {"messages", "tools", "add_generation_prompt", "enable_thinking", "bos_token", "eos_token"}
        self.cases = [case for case in json.loads(VECTORS.read_text())["cases"]
                      if "messages" in case.get("variables", {}) and known.issuperset(case["variables"])]
        self.assertGreater(len(self.cases), 50)

    def ours(self, messages):
        path = self.folder / "chat.json"
        path.write_text(json.dumps(messages))
        return run("tokenizer", "chat", "--model", self.folder, "--json", "--messages", path)

    def check(self, save):
        for case in self.cases:
            with self.subTest(case["name"]):
                given = dict(case["variables"])
                messages, prompts = given.pop("messages"), given["add_generation_prompt"]
                tokens = {name: given.pop(name) for name in ("bos_token", "eos_token")}
                theirs = PreTrainedTokenizerFast(
                    tokenizer_object=Tokenizer(models.BPE()), chat_template=case["template"],
                    **tokens)
                if "output" in case:
                    self.assertEqual(
                        theirs.apply_chat_template(messages, tokenize=False, **given),
                        case["output"])
                if not prompts or "enable_thinking" in given:
                    continue  # The command asks for an answer, with nothing else set.
                save(theirs)
                found = self.ours(messages)
                if "output" in case:
                    self.assertEqual(found.returncode, 0, found.stderr)
                    self.assertEqual(json.loads(found.stdout)["text"], case["output"])
                else:
                    self.assertEqual(found.returncode, 1)
                    self.assertIn(case["error"], found.stderr)

    def test_as_transformers_saves_them(self):
        self.check(lambda tokenizer: tokenizer.save_pretrained(self.folder))

    def test_in_tokenizer_config(self):
        def save(tokenizer):
            tokenizer.save_pretrained(self.folder)
            (self.folder / "chat_template.jinja").unlink()
            path = self.folder / "tokenizer_config.json"
            config = json.loads(path.read_text()) | {"chat_template": tokenizer.chat_template}
            path.write_text(json.dumps(config))

        self.check(save)
