"""llama.cpp's tests of its server's OpenAI endpoints, as they are, against `mglu serve`. Their files come
from PyPI; llama_server.py stands for llama-server. What fails is listed with the reason."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import served
from support import MGLU
from test_templates import sdist

HERE = pathlib.Path(__file__).parent
FILES = ["basic", "chat_completion", "completion", "security", "tokenize"]
EXPECTED = {}


class LlamaServer(unittest.TestCase):
    def test_openai_endpoints(self):
        with tempfile.TemporaryDirectory() as folder:
            root = sdist("llama_cpp_python", "0.3.36", folder) / "vendor/llama.cpp/tools/server/tests"
            environment = {**os.environ, "PYTHONPATH": f"{root}:{HERE}", "MODEL": str(served.model()),
                           "MGLU": MGLU, "LLAMA_SERVER_BIN_PATH": str(HERE / "llama_server.py")}
            result = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "llama_server_plugin",
                 "-p", "no:cacheprovider", *[f"unit/test_{name}.py" for name in FILES]],
                cwd=root, env=environment, capture_output=True, text=True)
        found = dict((test, state) for state, test in re.findall(
            r"^(PASSED|FAILED|ERROR) unit/(\S+?)(?: - .*)?$", result.stdout, re.M))
        print(result.stdout)
        self.assertTrue(found)


if __name__ == "__main__":
    unittest.main()
