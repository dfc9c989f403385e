#!/usr/bin/env python3
"""Stands for llama-server where llama.cpp's tests start one: runs `mglu serve` with what their options
mean there. MGLU and MODEL name the program and the model."""

import os
import sys

OPTIONS = {"--port": "--port", "--host": "--host", "--alias": "--served-model-name", "--api-key": "--api-key",
           "--parallel": "--max-batch", "--threads": "--threads", "--cors-origins": "--cors-origin"}
FLAGS = {"--metrics", "--cont-batching", "--jinja", "--no-jinja", "--no-ui", "--slots", "--no-slots",
         "--offline", "--embedding", "--reranking", "--kv-unified", "--swa-full", "--verbose", "--no-mmproj",
         "--context-shift", "--no-context-shift", "--no-models-autoload", "--no-cache-idle-slots",
         "--no-webui", "--ui-mcp-proxy"}

arguments = iter(sys.argv[1:])
options, size, slots = {}, None, 1
for name in arguments:
    if name in FLAGS:
        continue
    value = next(arguments, "")
    if name in OPTIONS:
        options[OPTIONS[name]] = value
    if name == "--ctx-size":
        size = int(value)
    if name == "--parallel":
        slots = int(value)
command = [os.environ["MGLU"], "serve", "--model", os.environ["MODEL"]]
for name, value in options.items():
    for part in value.split(","):
        command += [name, part]
if size:
    # There the slots share what is given.
    command += ["--context", str(max(1, size // slots))]
# The tests send the origins of others, as pages that may use the server.
if "--cors-origin" not in options:
    command += ["--cors-origin", "*"]
os.execv(command[0], command)
