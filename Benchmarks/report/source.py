"""Reads Benchmarks/results, and spells what the tables, the summary and the drawing share."""
import csv
import glob
import json
import os
import re
import statistics

import common

LARGE = "14336x4096"
# Names and shapes stay on one line in a narrow column.
SPACE = "\N{NO-BREAK SPACE}"


def result(name):
    """A JSON file of results."""
    with open(common.path(name), encoding="utf-8") as file:
        return json.load(file)


def documents(name):
    """The JSON files of results that measure the same on several devices: NAME.json, then NAME-DEVICE.json."""
    first = common.path(name + ".json")
    return [result(os.path.basename(path)) for path in [first, *sorted(glob.glob(first[:-5] + "-*.json"))]]


def runs(folder):
    """The rows of a comparison, by unit in the order of the file."""
    with open(common.path(folder + "/results.csv"), encoding="utf-8") as file:
        rows = {}
        for row in csv.DictReader(file):
            rows.setdefault(row["unit"], []).append(row)
    return rows


def losses(rows):
    return [float(row["validation_loss"]) for row in rows]


def spread(values, form="{:.3f}"):
    """Mean and standard deviation, or the only value."""
    mean = form.format(statistics.mean(values))
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def difference(values, others):
    """How much higher the first losses are than the others, paired by seed."""
    return spread([a - b for a, b in zip(values, others)], "{:+.3f}")


def unit(name, masks):
    """SwiMGLU, 4 masks"""
    return f"{name},{SPACE}{masks}{SPACE}mask{'s' if masks > 1 else ''}" if masks else name


def model(text):
    """A model that a file calls `SwiMGLU, n_m = 4`."""
    return re.sub(r", n_m = (\d+)$", lambda found: unit("", int(found[1])), text)


def shape(text):
    return text.replace("x", f"{SPACE}×{SPACE}")


def caveat(found):
    """What a reader of a result must know, as a sentence."""
    note = found.get("note", "").rstrip(".")
    return f" {note[0].upper()}{note[1:]}." if note else ""


def notes(found):
    """The same as a list, an item for each sentence."""
    return ["", *(f"- {text}." for text in re.split(r"\. (?=[-A-Z])", caveat(found).strip().rstrip(".")))] if found.get(
        "note") else []


def written(found):
    """The rows of a decoding benchmark in which tokens are generated one by one."""
    return [row for row in found["results"] if row["test"].startswith("tg")]


def row(rows, **conditions):
    """The first row that meets all conditions."""
    return next(row for row in rows if all(row[key] == value for key, value in conditions.items()))
