"""The examples run, and train as the formula does."""

import contextlib
import io
import pathlib
import re
import runpy
import sys
import unittest
import unittest.mock

import torch

import mglu

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments):
    """What an example prints."""
    with unittest.mock.patch.object(sys, "argv", [name, *arguments]):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return output.getvalue()


class Examples(unittest.TestCase):
    def setUp(self):
        threads = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, threads)
        self.addCleanup(mglu.set_num_threads, threads)
        torch.set_num_threads(1)
        mglu.set_num_threads(1)

    def test_quickstart(self):
        self.assertIn("torch.int8: 102400 bytes", run("quickstart.py"))

    def test_nano_gpt(self):
        """Curves of the kernels, which are those of `mglu train`, and of the formula in torch: they differ in the
        order of sums, and by what 24 steps make of that."""
        def losses():
            text = str(EXAMPLES.parents[1] / "README.md")
            return [float(x) for x in re.findall(r"loss ([0-9.]+)", run("nano_gpt.py", text, "4", "24"))]

        found = losses()
        with unittest.mock.patch.object(mglu.functional, "_has_kernels", lambda x, weight: False):
            wanted = losses()
        self.assertEqual(len(found), 7)
        self.assertLess(found[-1], found[0] - 1)
        bound = 3e-2 if torch.cuda.is_available() else 2e-3
        for f, w in zip(found, wanted):
            self.assertLessEqual(abs(f - w), bound)


if __name__ == "__main__":
    unittest.main()
