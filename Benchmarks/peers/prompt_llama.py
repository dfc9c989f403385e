#!/usr/bin/env python3
"""Prompts and generation in llama.cpp: the peer of Benchmarks/prompt_cpu.

    prompt_llama.py --model FILE.gguf --types bf16,q8_0 --threads 2

The model is converted to each type first, into a temporary folder. Every line of standard input is a
type; a line of JSON answers it: tokens per second of a prompt of 512 tokens, read at once into an empty
cache ("pp512"), and of 128 tokens written one by one ("tg128"), as llama-bench has them. Needs
llama-cpp-python, built for this machine (CMAKE_ARGS=-DGGML_NATIVE=ON). Where its kernels over weights
of a layout of their own (AMX, repacked rows) end the process, as those of GCC 12 for AMX do, it goes
without them and says so.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time

import llama_cpp as llama

FILE_TYPES = {"q8_0": 7, "bf16": 32}


def converted(path, kind, folder, threads):
    """The path of the model with its matrices as `kind`."""
    target = os.path.join(folder, kind + ".gguf")
    options = llama.llama_model_quantize_default_params()
    options.ftype = FILE_TYPES[kind]
    options.allow_requantize = True
    options.nthread = threads
    if llama.llama_model_quantize(path.encode(), target.encode(), ctypes.byref(options)) != 0:
        sys.exit(f"llama.cpp cannot convert {path} to {kind}")
    return target


def open_model(path, threads, extra):
    """A context of a model, with or without weights in layouts of their own."""
    options = llama.llama_model_default_params()
    options.use_extra_bufts = extra
    model = llama.llama_load_model_from_file(path.encode(), options)
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = 512
    options.n_threads = options.n_threads_batch = threads
    return llama.llama_new_context_with_model(model, options)


def speed(context, tokens, together):
    """Tokens per second of `tokens`, all at once or one by one, into an empty cache."""
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    start = time.perf_counter()
    step = len(tokens) if together else 1
    for at in range(0, len(tokens), step):
        part = (llama.llama_token * step)(*tokens[at:at + step])
        if llama.llama_decode(context, llama.llama_batch_get_one(part, step)) != 0:
            sys.exit("llama.cpp failed")
        llama.llama_get_logits_ith(context, -1)
    return len(tokens) / (time.perf_counter() - start)


def survives(path, threads):
    """Whether a process with layouts of their own lives."""
    command = [sys.executable, os.path.abspath(__file__), "--model", path, "--threads",
               str(threads), "--probe"]
    return subprocess.run(command, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--types", default="bf16,q8_0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quiet = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    if options.probe:
        speed(open_model(options.model, options.threads, True), [7 * k for k in range(512)], True)
        return
    with tempfile.TemporaryDirectory() as folder:
        kinds = options.types.split(",")
        paths = {kind: converted(options.model, kind, folder, options.threads) for kind in kinds}
        extra = {kind: survives(path, options.threads) for kind, path in paths.items()}
        contexts = {kind: open_model(path, options.threads, extra[kind])
                    for kind, path in paths.items()}
        for context in contexts.values():
            speed(context, [7 * k for k in range(512)], True)
        system = llama.llama_print_system_info().decode()
        print(json.dumps({"system": system, "own_layouts": extra}), flush=True)
        for line in sys.stdin:
            context = contexts[line.strip()]
            prompt = speed(context, [7 * k for k in range(512)], True)
            written = speed(context, [5 * k for k in range(128)], False)
            print(json.dumps({"pp512": prompt, "tg128": written}), flush=True)


if __name__ == "__main__":
    main()
