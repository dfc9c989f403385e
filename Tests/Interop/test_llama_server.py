"""llama.cpp's tests of its server's OpenAI endpoints, as they are, against `mglu serve`. Their files come
from PyPI; llama_server.py stands for llama-server, and a small model for theirs. What may fail is listed
with the reason, and docs/SERVER.md says the same."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from support import MGLU, mglu
from test_templates import sdist

HERE = pathlib.Path(__file__).parent
FILES = ["basic", "chat_completion", "completion", "security", "tokenize"]
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
# Names of tests, and why they may fail.
EXPECTED = [
    # The texts, the numbers of tokens and the first token of llama.cpp's model.
    (r"test_chat_completion\[|test_chat_completion_cached_tokens|_with_openai_library|"
     r"test_completion_stream_with_openai_library|test_tokenize_with_bos", "another model"),
    # The first chunk of a chat has an empty content, as OpenAI's, where llama.cpp has null.
    (r"test_chat_completion_stream\[|test_logprobs_stream", "OpenAI's first chunk"),
    # /completions is OpenAI's, and there is no /completion, nor what only it has.
    (r"test_correct_api_key|test_completion\[|test_completion_stream\[|test_completion_stream_vs_non_stream|"
     r"test_completion_(parallel_slots|unified|response_fields|prompt_cache|with_tokens_input)|"
     r"test_(consistent|different)_result|test_json_prompt|test_nocache_long|test_n_probs|"
     r"test_cancel_request|test_completion\.py::test_logit_bias", "llama.cpp's own completions"),
    # Routes and pages of llama.cpp's own.
    (r"static_assets|test_apply_chat_template|token_count|test_server_(props|slots|model_aliases|multiple)|"
     r"test_no_ui|test_load_split_model|cors_proxy|local_media", "llama.cpp's own routes"),
    # Fields that are refused by name.
    (r"response_format|json_schema|grammar|timings_per_token|multiple_choices|return_progress|verbose|"
     r"test_chat_template(\b(?!_)|_assistant_prefill|_continue_final_message_vllm)", "refused by name"),
    # A last message of the assistant is continued only where continue_final_message asks for it.
    (r"test_invalid_chat_completion_req\[messages7\]", "the template decides"),
    # The error is OpenAI's, which clients know.
    (r"test_context_size_exceeded", "OpenAI's error"),
    # Preflights are answered with 204; origins are named one by one, others get 403.
    (r"test_cors_", "origins are named"),
]


class LlamaServer(unittest.TestCase):
    @staticmethod
    def model(folder):
        text = folder / "input.txt"
        text.write_text("the cat sat on the mat, and the dog ate what the cat had left.\n" * 400)
        mglu("tokenizer", "train", "--data", text, "--vocabulary-size", 300, "--output", folder / "tokenizer")
        mglu("train", "--data", text, "--tokenizer", folder / "tokenizer", "--output", folder / "run",
             "--steps", 30, "--layers", 1, "--hidden-size", 64, "--heads", 2, "--intermediate-size", 96,
             "--context", 2048, "--batch-size", 1, "--eval-every", 0, "--threads", 1)
        (folder / "run/chat_template.jinja").write_text(TEMPLATE)
        return folder / "run"

    def test_openai_endpoints(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            root = sdist("llama_cpp_python", "0.3.36", folder) / "vendor/llama.cpp/tools/server/tests"
            environment = {**os.environ, "PYTHONPATH": f"{root}:{HERE}", "MODEL": str(self.model(folder)),
                           "MGLU": MGLU, "LLAMA_SERVER_BIN_PATH": str(HERE / "llama_server.py")}
            result = subprocess.run(
                [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "llama_server_plugin",
                 "-p", "no:cacheprovider", *[f"unit/test_{name}.py" for name in FILES]],
                cwd=root, env=environment, capture_output=True, text=True)
        found = re.findall(r"^unit/(test_\w+\.py::.*?) (PASSED|FAILED|ERROR)\b", result.stdout, re.M)
        counts = {"passed": 0}
        problems = []
        for name, state in found:
            reason = next((reason for names, reason in EXPECTED if re.search(names, name)), None)
            if state == "PASSED":
                counts["passed"] += 1
            elif reason:
                counts[reason] = counts.get(reason, 0) + 1
            else:
                problems.append(name)
        print(counts)
        self.assertEqual(problems, [], result.stdout[-20_000:])
        self.assertGreater(counts["passed"], 20, result.stdout[-20_000:] + result.stderr)


if __name__ == "__main__":
    unittest.main()
