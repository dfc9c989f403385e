"""The tables of docs/RESULTS.md: a function each, which returns lines of Markdown."""
import os
import statistics

import common
from report.source import (
    caveat, difference, documents, losses, model, notes, result, runs, shape, spread, unit, written)
from table import cell, markdown


def ffn_cpu():
    found = result("ffn-cpu.json")
    shapes = list(dict.fromkeys(row["shape"] for row in found["results"]))
    cells = {}
    for row in found["results"]:
        cells.setdefault((row["unit"], row["masks"], row["weights"]), []).extend(
            [f"{row['speedup_over_glu']:.2f}", f"{row['percent_of_read_bandwidth']:.0f} %"])
    titles = ["unit", "weights"] + [
        title for name in shapes for title in (f"speed-up, {shape(name)}", "bandwidth")]
    rows = [[unit(name, masks), weights, *numbers]
            for (name, masks, weights), numbers in cells.items()]
    peer = found["peer"]
    ratios = ", ".join(f"{row['ratio']:.2f} ({row['peer_weights']}, {shape(row['shape'])})"
                       for row in peer["rows"])
    return markdown(titles, rows) + [
        "", "Speed-up: relative to SwiGLU with the same shape (d × h) and weights. Bandwidth: share "
        "of the read bandwidth, which is measured in turn with the units "
        f"({found['read_gb_per_s']:.0f} GB/s, median). {found['device']}, {found['machine']}; "
        f"{found['date']}.", "",
        f"Our SwiGLU and that of {peer['name']} took turns, {peer['repeats']} runs each. ggml's time "
        f"divided by ours: {ratios}."]


def decode_cpu():
    found = result("decode-cpu.json")
    rows = []
    for name in dict.fromkeys(row["model"] for row in found["results"]):
        prompt, tokens = [row for row in found["results"] if row["model"] == name]
        rows.append([model(name), f"{tokens['size_bytes'] / 2**20:.0f} MiB",
                     f"{prompt['tokens_per_s']:.0f}",
                     f"{tokens['tokens_per_s']:.1f} ± {tokens['standard_deviation']:.1f}",
                     f"{tokens['percent_of_prediction']:.0f} %", f"{tokens['speedup']:.2f}"])
    tests = [row["test"] for row in found["results"][:2]]
    titles = ["model", "read per token", f"{tests[0]}, tokens/s", f"{tests[1]}, tokens/s", "of memory limit",
              "speed-up"]
    return markdown(titles, rows) + [
        "", f"`{found['command']}`: {found['device']}, {found['machine']}; {found['date']}."]


def ffn_cuda():
    found = result("ffn-cuda.json")
    peer = found["peer"]
    peers = {"over SwiGLU, PyTorch": "speedup_over_torch_glu",
             "over SwiGLU, compiled": "speedup_over_torch_glu_compiled",
             "over naive MGLU": "speedup_over_torch_naive",
             "over paper's kernel": "speedup_over_paper"}
    lines = []
    for batch in dict.fromkeys(row["batch"] for row in found["results"]):
        each = [row for row in found["results"]
                if row["batch"] == batch and (batch == 1 or row["masks"])]
        shown = {title: key for title, key in peers.items() if any(row[key] for row in each)}
        titles = ["unit", "d × h", "µs", "bandwidth", *shown]
        rows = [[unit(row["unit"], row["masks"]), shape(row["shape"]), f"{row['p50_us']:.1f}",
                 f"{row['percent_of_read_bandwidth']:.0f} %",
                 *(cell(row, key, "{:.2f}") for key in shown.values())] for row in each]
        lines += [f"Batch {batch}:", "", *markdown(titles, rows), ""]
    return lines + [
        "FP16 weights, not in the L2 cache. Bandwidth: share of the read bandwidth, "
        f"{found['read_gb_per_s'] / 1000:.2f} TB/s. {found['device']}, PyTorch {peer['torch']}; "
        f"{found['date']}. Ours and the others took turns on one machine.{caveat(found)}", "",
        "- **SwiGLU, PyTorch** and **compiled** (`torch.compile`, max-autotune) run as CUDA graphs, as "
        "ours do.",
        "- **Naive MGLU** is eager PyTorch with two masked products for each mask.",
        "- **Paper's kernel** is our reconstruction from the paper's description; its authors have "
        "released no code.",
        "- Each of our kernels starts before the previous one ends (programmatic dependent launch), as "
        "in a model. `mglu bench ffn --in-order` measures without it."]


def decode_cuda():
    found = result("decode-cuda.json")
    rows = []
    for name in dict.fromkeys(row["model"] for row in written(found)):
        turns = [row for row in written(found) if row["model"] == name]
        mean = lambda key: statistics.mean(row[key] for row in turns)
        rows.append([model(name), f"{turns[0]['size_bytes'] / 2**20:,.0f} MiB",
                     f"{mean('ms_per_token'):.3f}", f"{mean('tokens_per_s'):,.0f}",
                     f"{mean('percent_of_prediction'):.0f} %",
                     f"{mean('speedup_over_torch_swiglu'):.2f}"])
    peer = found["peer"]["results"][0]
    titles = ["model", "read per token", "ms per token", "tokens/s", "of memory limit",
              "over SwiGLU, compiled PyTorch"]
    return markdown(titles, rows) + [
        "", f"`{found['commands'][0]}`: {found['device']}; {found['date']}. In the same run, SwiGLU "
        f"in compiled PyTorch {found['peer']['torch']} (max-autotune, a CUDA graph of the decode step) "
        f"took {peer['p50_ms']:.2f} ms per token at position {peer['position']}.{caveat(found)}"]


def serve_cuda():
    found = result("serve-cuda.json")
    rows = [[model(row["model"]), str(row["clients"]), f"{row['tokens_per_s']:.0f}",
             f"{row['over_bench_decode']:.2f}", f"{row['first_token_ms']:.1f}"]
            for row in found["results"]]
    titles = ["model", "clients", "tokens/s", "over `bench decode`", "first token, ms"]
    return markdown(titles, rows) + [
        "", f"{found['model'][0].upper()}{found['model'][1:]}. Each client streams "
        f"{found['generate']} greedy tokens after a prompt of one token over HTTP; the figures are "
        "medians of five rounds in which all clients begin together, from the first request to the last "
        f"token. `bench decode` generates as many tokens without a server, in the same run. "
        f"{found['device']}; {found['date']}.", "",
        "Eight clients share each pass over the weights, but a step for several sequences is a chain of "
        "kernels, where a step for one is a single kernel."]


def serve_streams():
    """Clients with prompts and answers of a conversation's size."""
    lines = []
    for found in documents("serve-streams-cuda"):
        rows = [[model(row["model"]), str(row["clients"]), f"{row['tokens_per_s']:,.0f}",
                 f"{row['percent_of_bound']:.0f} %", f"{row['first_token_ms']:.1f}"]
                for row in found["results"]]
        titles = ["model", "clients", "tokens/s", "of the bound", "first token, ms"]
        lines += ["", *markdown(titles, rows), "", f"`{found['commands'][0]}`", "",
                  f"{found['device']}; {found['date']}.", *notes(found)]
    return lines[1:]


def throughput_cuda():
    """Prompts and steps of many sequences."""
    lines = []
    for found in documents("throughput-cuda"):
        has_peer = any(row["torch_tokens_per_s"] for row in found["results"])
        rows = [[model(row["model"]), row["weights"], row["test"], str(row["batch"]),
                 f"{row['tokens_per_s']:,.0f}",
                 f"{100 * row['tokens_per_s'] / row['bound_tokens_per_s']:.0f} %"]
                + ([f"{row['torch_tokens_per_s']:,.0f}" if row["torch_tokens_per_s"] else ""]
                   if has_peer else [])
                for row in found["results"]]
        titles = ["model", "weights", "test", "batch", "tokens/s", "of the bound"]
        titles += ["compiled PyTorch"] if has_peer else []
        lines += ["", *markdown(titles, rows), "", f"`{found['commands'][0]}` and others", "",
                  f"{found['device']}; {found['date']}. tg@512: steps of a batch at position 512.", *notes(found)]
    return lines[1:]


def train_nano():
    found = result("train-nano.json")
    rows = [[model(row["model"]), f"{row['tokens_per_second']:,.0f}",
             f"{row['peer_tokens_per_second']:,.0f}", f"{row['ratio']:.2f}"] for row in found["rows"]]
    peers = sorted({f"{row['peer']} ({row['peer_threads']} thread"
                    f"{'s' if row['peer_threads'] > 1 else ''})" for row in found["rows"]})
    return markdown(["unit", "tokens/s", "eager PyTorch, tokens/s", "speed-up"], rows) + [
        "", f"`{found['command']}`: {found['device']}, {found['backend']}; {found['date']}. Medians of "
        f"{found['repeats']} runs that took turns with {' and '.join(peers)}, the fastest of the "
        "PyTorch versions and thread counts that we tried."]


def train_cuda():
    found = result("train-cuda.json")
    rows = [[f"`{row['unit']}`", f"{row['tokens_per_s']:,.0f}", f"{row['milliseconds']:.1f}",
             f"{row['tflop_per_s']:.0f}", f"{row['percent_of_product']:.0f} %",
             f"{row['device_gib']:.1f} GiB", f"{row['speedup_over_torch']:.2f}"]
            for row in found["results"]]
    titles = ["unit", "tokens/s", "ms per step", "TFLOP/s", "of a large product", "memory",
              "over compiled PyTorch"]
    return markdown(titles, rows) + [
        "", f"`{found['command']}`: {found['device']}, which computes one large BF16 matrix product at "
        f"{found['product_tflop_per_s']:.0f} TFLOP/s; PyTorch {found['peer']['torch']}; "
        f"{found['date']}.{caveat(found)}"]


def scaling_cuda():
    """One GPU and several, a micro-batch for each."""
    found = result("scaling-cuda.json")
    rows = [[f"`{row['size']}`",
             f"`swimglu:{row['masks']}`" if row["masks"] else "`swiglu`",
             f"{row['gpus']}{', `--shard`' if row.get('shard') else ''}",
             f"{row['tokens_per_s']:,.0f}", cell(row, "percent_of_linear", "{:.0f} %"),
             cell(row, "ddp_tokens_per_s", "{:,.0f}"),
             f"{row['memory_gib']:.1f} GiB"] for row in found["results"]]
    titles = ["preset", "unit", "GPUs", "tokens/s", "of linear", "PyTorch DDP", "memory of one"]
    return markdown(titles, rows) + ["", f"{found['machine']}; {found['date']}.", *notes(found)]


def comparison(folder, token):
    """Units of one comparison; differences are paired by seed."""
    found = runs(folder)
    first = losses(next(iter(found.values())))
    rows = []
    for name, each in found.items():
        values = losses(each)
        rows.append([
            f"`{name}`", f"{int(each[0]['parameters']):,}", f"{float(each[0]['mebibytes']):.2f}",
            spread(values), "" if values == first else difference(values, first)])
    titles = ["unit", "parameters", "MiB", f"validation loss, nats per {token}",
              f"minus `{next(iter(found))}`"]
    return markdown(titles, rows) + pictures(folder)


# What `mglu compare` draws, where it knows the cost.
PICTURES = {"loss-memory.svg": "Loss and memory", "loss-decoding.svg": "Loss and time of decoding",
            "loss-training.svg": "Loss and time of training",
            "loss-arithmetic.svg": "Loss and arithmetic of training"}


def pictures(folder):
    """The drawings of a comparison, as many as it has."""
    found = [f'<img src="../Benchmarks/results/{folder}/{name}" width="400" alt="{title}">'
             for name, title in PICTURES.items() if os.path.exists(common.path(f"{folder}/{name}"))]
    return ["", *found] if found else []


def heal_nano():
    found = result("heal-nano.json")

    def loss(row, key):
        return f"{row[key]['mean']:.3f} ± {row[key]['standard_deviation']:.3f}"

    titles = ["unit", "before healing"]
    for steps in found["healing"]:
        titles += [f"after {steps} steps", "gap closed"]
    rows = []
    for row in found["rows"]:
        cells = [model(row["model"]), loss(row, "before")]
        for steps in map(str, found["healing"]):
            share = row[steps].get("share_of_gap")
            cells += [loss(row, steps), f"{100 * share['mean']:.1f} %" if share else ""]
        rows.append(cells)
    return markdown(titles, rows) + [
        "", f"Validation losses in nats per byte, mean and standard deviation of {len(found['seeds'])} "
        f"seeds. The SwiGLU was trained for {found['steps']} steps before. Gap: the loss of the "
        "converted model minus the loss of the SwiGLU after the same number of further steps on the "
        f"same batches. `{found['command']}`: {found['device']}, {found['backend']}; "
        f"{found['date']}.{caveat(found)}"]


def convert_smollm2():
    found = result("convert-smollm2.json")

    def losses_of(row, key):
        each = row["losses"][key]
        return [f"{value:.3f}" for value in each.values()]

    swiglu, *masked = found["results"]
    titles = ["model", *swiglu["losses"]["before"], "seconds"]
    rows = [["SwiGLU, as it is", *losses_of(swiglu, "before"), ""],
            ["SwiGLU, trained on", *losses_of(swiglu, "trained"), f"{swiglu['seconds_heal']:.0f}"]]
    for row in masked:
        name = model(f"SwiMGLU, n_m = {row['masks']}")
        rows += [[f"{name}, converted", *losses_of(row, "converted"), f"{row['seconds_convert']:.0f}"],
                 [f"{name}, healed", *losses_of(row, "healed"), f"{row['seconds_heal']:.0f}"]]
    endings = ", ".join(f"{each['model']} {100 * each['accuracy']:.1f} ± {100 * each['standard_error']:.1f} %"
                        for each in found.get("endings", {}).get("models", []))
    others = ", ".join(f"{loss:.3f} at {rate}"
                       for rate, loss in found.get("swiglu_trained_at_other_rates", {}).items())
    return markdown(titles, rows) + [
        "", "Losses in nats per token: valid is technical text of the kind that calibration and training had",
        "(27 M tokens), the others are not.", "",
        f"- Training: {found['steps']} steps of 16 × 1024 tokens at the rates "
        f"{', '.join(map(str, found['learning_rates']))} of SwiGLU, n_m = 1 and 4"
        + (f"; the SwiGLU's other rate: {others}" if others else "") + ".",
        *([f"- Right endings of {found['endings']['questions']} passages of the validation text "
           f"(`Benchmarks/endings`, chance 25 %): {endings}."] if endings else []),
        f"- {found['device']}; {found['date']}.{caveat(found)}", "", f"`{found['command']}`"]



TABLES = {
    "ffn-cpu": ffn_cpu, "decode-cpu": decode_cpu, "ffn-cuda": ffn_cuda, "decode-cuda": decode_cuda, "serve-cuda": serve_cuda,
    "train-nano": train_nano, "train-cuda": train_cuda, "scaling-cuda": scaling_cuda,
    "throughput-cuda": throughput_cuda, "serve-streams": serve_streams,
    "heal-nano": heal_nano,
    "convert-smollm2": convert_smollm2,
    "compare-nano": lambda: comparison("compare-nano", "byte"),
    "compare-mini": lambda: comparison("compare-mini", "token"),
    "compare-paper-small": lambda: comparison("compare-paper-small/table", "token"),
    "compare-paper-small-equal": lambda: comparison("compare-paper-small/equal", "token"),
    "train-techdocs": lambda: comparison("train-techdocs", "token")}
