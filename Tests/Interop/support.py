"""What the suites share: running mglu, and comparing logits."""

import json
import os
import pathlib
import random
import subprocess

import torch
from transformers.utils import logging

logging.disable_progress_bar()

ROOT = pathlib.Path(__file__).resolve().parents[2]
MGLU = os.environ.get("MGLU", str(ROOT / ".build/release/mglu"))
TOLERANCE = 1e-4  # of logits in FP32


def mglu(*arguments):
    """Runs mglu; fails with what it says."""
    result = run(*arguments)
    if result.returncode:
        raise AssertionError(f"mglu {' '.join(map(str, arguments))}: {result.stderr}")
    return result.stdout


def run(*arguments):
    return subprocess.run([MGLU, *map(str, arguments)], capture_output=True, text=True)


def our_logits(folder, ids, *options):
    text = ",".join(map(str, ids))
    output = mglu("logits", "--model", folder, "--ids", text, "--all", "--top", 0,
                  "--input-precision", "fp32", "--threads", 2, *options)
    return torch.tensor(json.loads(output)["logits"], dtype=torch.float64)


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double()


def difference(folder, model, count=48, *options):
    """The largest difference of logits over a random text, and the largest logit."""
    ids = token_ids(model.config.vocab_size, count)
    theirs = their_logits(model.eval(), ids)
    ours = our_logits(folder, ids, *options)
    return (ours - theirs).abs().max().item(), theirs.abs().max().item()


def token_ids(vocabulary, count, seed=7):
    return random.Random(seed).choices(range(vocabulary), k=count)


def write_json(path, change):
    """Changes a JSON file in place."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
