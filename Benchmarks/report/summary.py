"""The table of README.md: what SwiMGLU gains with one mask and with four, and what it costs."""
import statistics
import textwrap

from report.source import (
    LARGE, SPACE, difference, losses, result, row, runs, shape, unit, written)
from table import markdown

MASKS = [1, 4]
# Comparisons with SwiGLU: what a row is called, and where it is.
COMPARISONS = {"26M": "compare-mini", "87M": "compare-paper-small/table", "115M": "compare-paper-small/equal"}


def times(values):
    return [f"{value:.2f}×" for value in values]


def lines():
    cpu, gpu = result("ffn-cpu.json"), result("ffn-cuda.json")
    decode, train, nano = (result("decode-cuda.json"), result("train-cuda.json"),
                           result("train-nano.json"))
    many = result("throughput-cuda.json")

    def layer(found, key, **conditions):
        return times(row(found["results"], masks=count, shape=LARGE, **conditions)[key]
                     for count in MASKS)

    def generation(key):
        return times(statistics.mean(turn[key] for turn in written(decode)
                                     if turn["model"] == f"SwiMGLU, n_m = {count}") for count in MASKS)

    def throughput(test, batch, key):
        def of(model):
            return row(many["results"], model=model, weights="fp16", test=test, batch=batch)
        return times(of(f"SwiMGLU, n_m = {count}")["tokens_per_s"] / of("SwiGLU")[key] for count in MASKS)

    def of_sequences(name, test, batch):
        return [[name, "SwiGLU, swift-mglu", *throughput(test, batch, "tokens_per_s")],
                ["", "SwiGLU, compiled", *throughput(test, batch, "torch_tokens_per_s")]]

    def loss(size, folder):
        found = runs(folder)
        first, weights = losses(found["swiglu"]), float(found["swiglu"][0]["parameters"]) / 1e6
        costs = [difference(losses(found[f"swimglu:{count}"]), first) for count in MASKS]
        return [f"Loss, {size} weights", f"SwiGLU, {weights:.0f}M: {statistics.mean(first):.3f}", *costs]

    rows = [
        ["Layer, GPU FP16", "SwiGLU, swift-mglu", *layer(gpu, "speedup_over_glu", batch=1)],
        ["", "SwiGLU, PyTorch", *layer(gpu, "speedup_over_torch_glu", batch=1)],
        ["", "SwiGLU, compiled", *layer(gpu, "speedup_over_torch_glu_compiled", batch=1)],
        ["", "the paper's kernel", *layer(gpu, "speedup_over_paper", batch=1)],
        ["Generation, GPU FP16", "SwiGLU, swift-mglu", *generation("speedup")],
        ["", "SwiGLU, compiled", *generation("speedup_over_torch_swiglu")],
        *of_sequences("of 64 sequences", "tg@512", 64),
        *of_sequences("Prompt, GPU FP16", "pp2048", 1),
        ["Training, GPU BF16", "same unit, compiled",
         *times(row(train["results"], unit=f"swimglu:{count}")["speedup_over_torch"]
                for count in MASKS)],
        ["Layer, CPU BF16", "SwiGLU, swift-mglu",
         *layer(cpu, "speedup_over_glu", weights="bf16")],
        ["Training, CPU FP32", "same unit, eager",
         *times(row(nano["rows"], ffn="swimglu", masks=count)["ratio"] for count in MASKS)],
        *(loss(size, folder) for size, folder in COMPARISONS.items()),
    ]
    titles = ["speed-up of SwiMGLU", "compared with", *(unit("", count).lstrip("," + SPACE) for count in MASKS)]
    peer = row(cpu["peer"]["rows"], weights="bf16", shape=LARGE)
    eager = row(nano["rows"], ffn="swimglu", masks=1)
    dates = sorted({each["date"] for each in (cpu, gpu, decode, many, train, nano)})
    return markdown(titles, rows) + ["", conditions(cpu, gpu, train, nano, peer, eager, dates)]


def conditions(cpu, gpu, train, nano, peer, eager, dates):
    """Under which conditions the numbers were measured."""
    seeds = len(runs(COMPARISONS["26M"])["swiglu"])
    wide = len(runs(COMPARISONS["115M"])["swiglu"])
    sentences = [
        f"Layer: d × h = {shape(LARGE)}, batch 1, weights not in a cache.",
        "Generation: `paper-large` (16 layers, h 2048, d 8192), one sequence of 1,024 tokens, or 64 at position 512; "
        "prompt: of 2,048 tokens.",
        f"Training: `paper-small`, {train['batch_size']} × {train['context']:,} tokens per step, on the GPU and `nano` "
        "on the CPU.",
        f"Loss: nats per token, lower is better; `mini` on 26M tokens, {seeds} seeds; `paper-small` on a billion, one; "
        f"the same on 200M with d of SwiMGLU half again as large, {wide} seeds.",
        f"GPU: {gpu['device']}, PyTorch {gpu['peer']['torch']}, compiled with `torch.compile`, layer and generation of "
        "one sequence with its mode `max-autotune`; the paper's kernel is our reconstruction.",
        f"CPU: {cpu['device']}, {nano['threads']} threads; ggml's SwiGLU takes {peer['ratio']:.2f} times the time of "
        "ours.",
        f"Training there is compared with {eager['peer']} on {eager['peer_threads']} thread, the fastest of two "
        "versions and thread counts.",
        f"Both sides of a ratio ran on one machine in turns, {dates[0]} to {dates[-1]}.",
        "[docs/RESULTS.md](docs/RESULTS.md) has the measurements behind this table and those in which SwiGLU is ahead,",
        "[Benchmarks/results](Benchmarks/results) all files."]
    return "\n".join(textwrap.wrap(" ".join(sentences), 105, break_long_words=False, break_on_hyphens=False))
