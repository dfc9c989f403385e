"""Templates render as under transformers: generated ones, those of Jinja2's own suite, and those that
llama.cpp keeps for its tests."""

import glob
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

from transformers.utils import chat_template_utils

import llama_templates
import template_generator

RENDER = os.environ.get("RENDER_TEMPLATES", str(
    pathlib.Path(__file__).parents[2] / ".build/release/RenderTemplates"))
ENVIRONMENT = chat_template_utils._compile_jinja_template("").environment
COUNT = int(os.environ.get("GENERATED_TEMPLATES", "16000"))


def ours(cases):
    """What RenderTemplates makes of templates with variables."""
    lines = "".join(json.dumps({"template": t, "variables": v}) + "\n" for t, v in cases)
    result = subprocess.run([RENDER], input=lines, capture_output=True, text=True)
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def theirs(template, variables):
    try:
        return {"output": ENVIRONMENT.from_string(template).render(variables)}
    except Exception as error:  # whatever goes wrong in a template
        return {"error": f"{type(error).__name__}: {error}"}


def sdist(name, version, folder):
    """The folder of a package's sources, from PyPI."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name,
                    "--dest", folder, f"{name}=={version}"], check=True)
    archive, = glob.glob(f"{folder}/*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return pathlib.Path(archive.removesuffix(".tar.gz"))


class Templates(unittest.TestCase):
    def check(self, cases, rendered):
        """All that transformers renders is the same here, `rendered` templates at least."""
        cases = list(cases)
        found = ours(cases)
        self.assertEqual(len(found), len(cases), "RenderTemplates ended at " + repr(
            cases[min(len(found), len(cases) - 1)]))
        counts = {"same": 0, "neither renders": 0}
        different = []
        for (template, variables), mine in zip(cases, found):
            expected = theirs(template, variables)
            if "output" not in expected and "output" not in mine:
                counts["neither renders"] += 1
            elif expected.get("output") == mine.get("output") or " at 0x" in expected.get("output", "") \
                    or "random" in template:
                counts["same"] += 1
            else:
                different.append(f"{template!r}\n  {expected}\n  {mine}")
        print(f"{self.id()}: {len(cases)} templates, {counts}, {len(different)} different", flush=True)
        self.assertGreaterEqual(counts["same"], rendered)
        self.assertFalse(different, "\n".join(different[:20]))

    def test_generated(self):
        self.check(template_generator.cases(COUNT, seed=1), COUNT // 2)

    def test_suite_of_jinja(self):
        with tempfile.TemporaryDirectory() as folder:
            source = sdist("jinja2", "3.1.6", folder)
            record = pathlib.Path(folder) / "templates.jsonl"
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "jinja_recorder", "tests"], cwd=source,
                env={**os.environ, "TEMPLATES": str(record), "PYTHONPATH": str(pathlib.Path(__file__).parent)},
                check=True, stdout=subprocess.DEVNULL)
            lines = [json.loads(line) for line in record.read_text().split("\n")[:-1]]
        self.check([(line["template"], line["variables"]) for line in lines], 600)

    def test_templates_of_llama_cpp(self):
        with tempfile.TemporaryDirectory() as folder:
            root = sdist("llama_cpp_python", "0.3.36", folder) / "vendor/llama.cpp"
            source = (root / "tests/test-jinja.cpp").read_text()
            templates = [path.read_text() for path in sorted(root.glob("models/templates/*.jinja"))]
        self.check(llama_templates.cases_of_test(source), 300)
        self.assertGreaterEqual(len(templates), 70)
        self.check([(t, v) for t in templates for v in llama_templates.chats()], 600)


if __name__ == "__main__":
    unittest.main()
