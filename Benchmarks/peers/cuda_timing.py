"""Helpers of the CUDA peers: timing, and the read bandwidth.

Calls rotate among copies of their operands that together exceed the L2 cache several times, so
that weights come from memory. One CUDA graph holds the rotation. Replays are queued back to back
with an event between each two, so the host's work of starting a replay hides behind the one before.
"""
import functools
import math
import sys

import torch
import torch.nn.functional as F

DEVICE = "cuda"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
WARM_UP = 3


@functools.cache
def stream():
    """The one stream of all graphs: cuBLAS keeps a workspace for every stream it has seen."""
    return torch.cuda.Stream()


def copies(byte_count):
    """How many operands of this size exceed four times the L2 cache, and 300 MB; at most 64."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return max(4, min(64, math.floor(max(4 * cache, 300e6) / byte_count) + 1))


def rotation(call, operands, at_least=40):
    """Calls that go through all operands, as often as it takes."""
    count = math.ceil(at_least / len(operands)) * len(operands)
    return [functools.partial(call, *operands[index % len(operands)]) for index in range(count)]


def between_events(run, repeats):
    """Milliseconds of each run on the current stream."""
    for _ in range(WARM_UP):
        run()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        run()
        event.record()
    events[-1].synchronize()
    return [start.elapsed_time(end) for start, end in zip(events, events[1:])]


def graph_times(calls, replays):
    """Microseconds of a call, for each replay of one graph that holds the calls."""
    stream().wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream()):
        for call in calls:  # compiles, tunes and loads what a capture must not
            call()
        stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream()):
            for call in calls:
                call()
        return [1e3 * time / len(calls) for time in between_events(graph.replay, replays)]


def eager_times(calls, repeats):
    """Microseconds of a call as the host starts the operations, for each pass over the calls."""
    def run():
        for call in calls:
            call()
    return [1e3 * time / len(calls) for time in between_events(run, repeats)]


def quantiles(times):
    """The 20th, 50th and 80th percentile."""
    times = sorted(times)
    return [times[len(times) * percent // 100] for percent in (20, 50, 80)]


def read_bandwidth(replays=20):
    """GB/s of torch.sum over 2 GiB."""
    values = torch.ones(1 << 30, dtype=torch.float16, device=DEVICE)
    times = graph_times([lambda: torch.sum(values)], replays)
    return 2 * values.numel() / quantiles(times)[1] / 1e3


def relative_error(found, reference):
    """|found - reference| / |reference|, in float64."""
    return float((found.double() - reference).norm() / reference.norm())


def naive_mglu(x, weight, masks):
    """SwiMGLU as its equation reads: 2 n_m products, each with a masked W made for it.

    x [batch, h], weight [d, h], masks: n_m of [d, h], bool or of the weight's type.
    """
    total = None
    for mask in masks:
        rest = ~mask if mask.dtype == torch.bool else 1 - mask
        route = F.silu(F.linear(x, weight * mask)) * F.linear(x, weight * rest)
        total = route if total is None else total + route
    return total


def glu(x, merged):
    """SwiGLU with the gate's and the value's weights in one matrix [2 d, h]."""
    gate, value = F.linear(x, merged).chunk(2, -1)
    return F.silu(gate) * value


def note(text):
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
