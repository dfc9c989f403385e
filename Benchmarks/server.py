"""`mglu serve` for benchmark drivers."""
import http.client
import json
import re
import subprocess
import sys
import time


class Server:
    """A server with a model at a free port."""

    def __init__(self, mglu, model, device="cpu", *options):
        self.process = subprocess.Popen(
            [mglu, "serve", "--model", model, "--port", "0", "--device", device, *options],
            stderr=subprocess.PIPE, text=True)
        notes = []
        for line in self.process.stderr:
            notes.append(line)
            if match := re.search(r"at http://[\d.]+:(\d+)", line):
                self.port = int(match[1])
                # Status 503 until kernels are compiled.
                while self.status("/health") != 200:
                    time.sleep(0.1)
                return
        sys.exit("mglu serve did not begin:\n" + "".join(notes))

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def status(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", path)
        return connection.getresponse().status

    def request(self, method, path, body=None):
        """The text of the response; another status than 200 ends the script."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            sys.exit(f"{path}: {response.status}: {text.decode()}")
        return text

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
