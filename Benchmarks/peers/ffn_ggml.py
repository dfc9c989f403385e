#!/usr/bin/env python3
"""A SwiGLU in ggml, llama.cpp's library, over cold weights: the peer of Benchmarks/ffn_cpu.

    ffn_ggml.py [--libraries DIR] --shapes 8192x2048 --types bf16,q8_0 --threads 2

Every line of standard input is a number of rounds; a line of JSON answers it: microseconds of
silu(Wg x) * (Wv x) by "TYPE SHAPE". Needs ggml's shared libraries (pip install llama-cpp-python);
ggml's own thread pool is made once and kept hot.
"""
import argparse
import ctypes as c
import glob
import json
import os
import random
import sys
import time

# ggml's number of the type, and bytes of 32 elements.
TYPES = {"q8_0": (8, 34), "bf16": (30, 64)}
COPIES_BYTES = 512 << 20


class InitParams(c.Structure):
    _fields_ = [("mem_size", c.c_size_t), ("mem_buffer", c.c_void_p), ("no_alloc", c.c_bool)]


class ThreadpoolParams(c.Structure):
    _fields_ = [("cpumask", c.c_bool * 512), ("n_threads", c.c_int), ("prio", c.c_int),
                ("poll", c.c_uint32), ("strict_cpu", c.c_bool), ("paused", c.c_bool)]


class Plan(c.Structure):
    _fields_ = [("work_size", c.c_size_t), ("work_data", c.c_void_p), ("n_threads", c.c_int),
                ("threadpool", c.c_void_p), ("abort_callback", c.c_void_p),
                ("abort_data", c.c_void_p), ("rest", c.c_uint8 * 64)]


def load(folder):
    """ggml's functions, from llama-cpp-python's folder unless another is given."""
    if not folder:
        import importlib.util
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None:
            sys.exit("ggml is not here: pip install llama-cpp-python, or give --libraries")
        folder = os.path.join(os.path.dirname(spec.origin), "lib")
    functions = {}
    signatures = {
        "ggml_init": (c.c_void_p, [InitParams]),
        "ggml_new_tensor_2d": (c.c_void_p, [c.c_void_p, c.c_int, c.c_int64, c.c_int64]),
        "ggml_get_data": (c.c_void_p, [c.c_void_p]),
        "ggml_nbytes": (c.c_size_t, [c.c_void_p]),
        "ggml_mul_mat": (c.c_void_p, [c.c_void_p] * 3),
        "ggml_silu": (c.c_void_p, [c.c_void_p] * 2),
        "ggml_mul": (c.c_void_p, [c.c_void_p] * 3),
        "ggml_new_graph": (c.c_void_p, [c.c_void_p]),
        "ggml_build_forward_expand": (None, [c.c_void_p] * 2),
        "ggml_threadpool_params_default": (ThreadpoolParams, [c.c_int]),
        "ggml_threadpool_new": (c.c_void_p, [c.POINTER(ThreadpoolParams)]),
        "ggml_graph_plan": (Plan, [c.c_void_p, c.c_int, c.c_void_p]),
        "ggml_graph_compute": (c.c_int, [c.c_void_p, c.POINTER(Plan)]),
        "ggml_cpu_init": (None, []),
    }
    for name in ("libggml-base", "libggml-cpu", "libggml"):
        for path in sorted(glob.glob(os.path.join(folder, name + "*.so*"))):
            library = c.CDLL(path, mode=c.RTLD_GLOBAL)
            for function, (result, arguments) in signatures.items():
                if function not in functions and hasattr(library, function):
                    found = getattr(library, function)
                    found.restype, found.argtypes = result, arguments
                    functions[function] = found
    missing = signatures.keys() - functions.keys()
    if missing:
        sys.exit(f"{folder}: ggml lacks {', '.join(sorted(missing))}")
    return type("ggml", (), functions)


def fill(address, size, kind):
    """Values of about 1 / 64: never subnormal, infinite or not a number, which would be slow."""
    if kind == "bf16":
        unit = b"".join(random.getrandbits(7).to_bytes(1, "little") + random.choice((b"\x3c", b"\xbc"))
                        for _ in range(4096))
    else:  # blocks of an FP16 scale and 32 integers
        unit = b"".join(b"\x00\x0c" + random.randbytes(32) for _ in range(256))
    tile = unit * 64
    for start in range(0, size, len(tile)):
        c.memmove(address + start, tile, min(len(tile), size - start))


class Unit:
    """Copies of a SwiGLU whose weights no cache holds."""

    def __init__(self, ggml, pool, kind, rows, columns, threads):
        number, block = TYPES[kind]
        size = rows * columns // 32 * block
        count = max(4, min(64, COPIES_BYTES // (2 * size)))
        self.ggml, self.runs, self.next = ggml, [], 0
        context = ggml.ggml_init(InitParams(count * (2 * size + (rows * 16 + (1 << 20))), None, False))
        x = ggml.ggml_new_tensor_2d(context, 0, columns, 1)
        values = (c.c_float * columns)(*(random.gauss(0, 1) for _ in range(columns)))
        c.memmove(ggml.ggml_get_data(x), values, 4 * columns)
        for _ in range(count):
            streams = []
            for _ in range(2):
                weight = ggml.ggml_new_tensor_2d(context, number, columns, rows)
                fill(ggml.ggml_get_data(weight), ggml.ggml_nbytes(weight), kind)
                streams.append(ggml.ggml_mul_mat(context, weight, x))
            out = ggml.ggml_mul(context, ggml.ggml_silu(context, streams[0]), streams[1])
            graph = ggml.ggml_new_graph(context)
            ggml.ggml_build_forward_expand(graph, out)
            plan = ggml.ggml_graph_plan(graph, threads, pool)
            work = (c.c_uint8 * max(1, plan.work_size))()
            plan.work_data = c.addressof(work)
            self.runs.append((graph, plan, work))

    def time(self):
        graph, plan, _ = self.runs[self.next % len(self.runs)]
        self.next += 1
        start = time.perf_counter()
        if self.ggml.ggml_graph_compute(graph, c.byref(plan)) != 0:
            sys.exit("ggml could not compute the graph")
        return (time.perf_counter() - start) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", default="")
    parser.add_argument("--shapes", default="8192x2048,14336x4096")
    parser.add_argument("--types", default="bf16,q8_0")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    ggml = load(options.libraries)
    ggml.ggml_cpu_init()
    parameters = ggml.ggml_threadpool_params_default(options.threads)
    pool = ggml.ggml_threadpool_new(c.byref(parameters))
    units = {}
    for shape in options.shapes.split(","):
        rows, columns = map(int, shape.split("x"))
        for kind in options.types.split(","):
            if kind not in TYPES or columns % 32:
                sys.exit(f"{kind} {shape}: expected {' or '.join(TYPES)}, h a multiple of 32")
            units[f"{kind} {shape}"] = Unit(ggml, pool, kind, rows, columns, options.threads)
    print(json.dumps({"peer": "ggml", "units": list(units)}), flush=True)
    for line in sys.stdin:
        times = {name: [] for name in units}
        for _ in range(int(line) + 2):
            for name, unit in units.items():
                times[name].append(unit.time())
        print(json.dumps({name: found[2:] for name, found in times.items()}), flush=True)


if __name__ == "__main__":
    main()
