"""lm-evaluation-harness, unmodified, finds the same numbers through `mglu serve` as in its own hf
backend: a multiple choice and a perplexity, over tasks that lie in files."""

import json
import logging
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

import lm_eval
from lm_eval.tasks import TaskManager

from support import MGLU, ROOT, mglu

TOLERANCE = 1e-3  # relative, of every metric
CHOICE = """task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
PERPLEXITY = """task: local_perplexity
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/perplexity.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
"""


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        logging.disable(logging.WARNING)
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = folder = pathlib.Path(cls.temporary.name)
        words = re.findall(r"\S+", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
        lines = [" ".join(words[first:first + 24]) for first in range(0, len(words) - 24, 24)]
        (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
        draw = random.Random(1)
        with open(folder / "choice.jsonl", "w", encoding="utf-8") as file:
            for line in lines[:40]:
                start, end = line.rsplit(" ", 3)[0], " ".join(line.rsplit(" ", 3)[1:])
                choices = [" " + end] + [" " + " ".join(draw.choices(words, k=3)) for _ in range(3)]
                draw.shuffle(choices)
                file.write(json.dumps({"text": start, "choices": choices,
                                       "answer": choices.index(" " + end)}) + "\n")
        with open(folder / "perplexity.jsonl", "w", encoding="utf-8") as file:
            # Shorter than the context: of longer texts the harness makes windows that are a token
            # shorter for servers than for its own models.
            for line in lines[:40]:
                file.write(json.dumps({"text": line}) + "\n")
        (folder / "choice.yaml").write_text(CHOICE.format(folder=folder))
        (folder / "perplexity.yaml").write_text(PERPLEXITY.format(folder=folder))
        mglu("tokenizer", "train", "--data", folder / "text.txt", "--vocabulary-size", 512,
             "--output", folder / "tokenizer")

    @classmethod
    def tearDownClass(cls):
        logging.disable(logging.NOTSET)
        cls.temporary.cleanup()

    def evaluate(self, backend, **arguments):
        found = lm_eval.simple_evaluate(
            backend, model_args=arguments, tasks=["local_choice", "local_perplexity"],
            task_manager=TaskManager(include_path=str(self.folder), include_defaults=False),
            bootstrap_iters=0, verbosity="ERROR", random_seed=None)
        return {(task, name.split(",")[0]): value
                for task, metrics in found["results"].items() for name, value in metrics.items()
                if isinstance(value, float) and "stderr" not in name}

    def check(self, *unit):
        model = self.folder / "-".join(unit)
        mglu("train", "--data", self.folder / "text.txt", "--tokenizer",
             self.folder / "tokenizer/tokenizer.json", "--context", 256, "--batch-size", 4,
             "--steps", 120, "--eval-every", 0, "--save-every", 0, "--ffn", *unit,
             "--output", model)
        theirs = self.evaluate("hf", pretrained=str(model), dtype="float32", device="cpu",
                               trust_remote_code=True)
        server = subprocess.Popen(
            [MGLU, "serve", "--model", model, "--port", "0", "--input-precision", "fp32"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            address = next(found[0] for found in
                           (re.findall(r"http://[\d.]+:\d+", line) for line in server.stdout)
                           if found)
            ours = self.evaluate(
                "local-completions", model=model.name, base_url=address + "/v1/completions",
                tokenizer_backend="huggingface", tokenizer=str(model), max_length=256,
                tokenized_requests=True, num_concurrent=2)
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
        if os.environ.get("MGLU_SHOW"):
            print(unit, *(f"{name}: {ours[name]:.6f} {theirs[name]:.6f}" for name in theirs))
        self.assertEqual(ours.keys(), theirs.keys())
        self.assertEqual(len(ours), 5)
        for name, value in theirs.items():
            self.assertLessEqual(abs(ours[name] - value), TOLERANCE * abs(value),
                                 f"{name}: {ours[name]}, in hf {value}")

    def test_glu(self):
        self.check("swiglu")

    def test_mglu(self):
        self.check("swimglu", "--masks", "4")


if __name__ == "__main__":
    unittest.main()
