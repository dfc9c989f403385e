"""docs/headline.svg: the speed of generation and of one layer beside compiled PyTorch's SwiGLU.

The drawing follows light and dark (prefers-color-scheme) and brings its own background, so that it
can be read on a page of either color.
"""
import statistics
from xml.sax.saxutils import escape

from report.source import LARGE, model, result, row, shape, unit, written

WIDTH, MARGIN, LABELS, BARS = 800, 24, 262, 320
ROW, BAR = 26, 16
STYLE = """
    text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
    .title { font-size: 17px; font-weight: 600 }
    .panel { font-weight: 600 }
    .quiet { fill: #59636e }
    .page { fill: #ffffff; stroke: #d1d9e0 }
    .axis { stroke: #59636e; stroke-dasharray: 3 3 }
    .other { fill: #8c959f }
    .glu { fill: #80b3f5 }
    .mglu { fill: #0969da }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .quiet { fill: #9198a1 }
      .page { fill: #0d1117; stroke: #3d444d }
      .axis { stroke: #9198a1 }
      .other { fill: #656c76 }
      .glu { fill: #1f5ba8 }
      .mglu { fill: #58a6ff }
    }"""


def generation():
    """Rows of the first panel: label, kind, speed over the first row, measured value."""
    found = result("decode-cuda.json")
    peer = found["peer"]["results"][0]
    rows = [("SwiGLU, compiled PyTorch", "other", 1, f"{peer['tokens_per_s']:,.0f} tokens/s")]
    for name in ("SwiGLU", "SwiMGLU, n_m = 4", "SwiMGLU, n_m = 1"):
        turns = [turn for turn in written(found) if turn["model"] == name]
        mean = lambda key: statistics.mean(turn[key] for turn in turns)
        rows.append((model(name) + ", swift-mglu", "glu" if name == "SwiGLU" else "mglu",
                     mean("speedup_over_torch_swiglu"), f"{mean('tokens_per_s'):,.0f} tokens/s"))
    parameters = row(written(found), model="SwiGLU")["parameters"] / 1e9
    return (f"Generating text: 16 layers, {parameters:.1f} billion parameters as SwiGLU, one sequence",
            rows)


def layer():
    """Rows of the second panel."""
    found = result("ffn-cuda.json")
    peers = [peer for peer in found["peer"]["results"] if peer["shape"] == LARGE and peer["batch"] == 1]
    first = row(peers, unit="glu_torch_compiled")["p50_us"]
    paper = row(peers, unit="paper", masks=1)["p50_us"]
    rows = [("SwiGLU, compiled PyTorch", "other", 1, f"{first:.1f} µs"),
            (unit("SwiMGLU", 1) + ", paper's kernel*", "other", first / paper, f"{paper:.1f} µs")]
    for masks in (0, 4, 1):
        ours = row(found["results"], shape=LARGE, batch=1, masks=masks)
        rows.append((unit(ours["unit"], masks) + ", swift-mglu", "mglu" if masks else "glu",
                     ours["speedup_over_torch_glu_compiled"], f"{ours['p50_us']:.1f} µs"))
    return f"One feed-forward layer: {shape(LARGE)}, batch 1", rows


def drawing():
    panels = [generation(), layer()]
    scale = BARS / max(factor for _, rows in panels for _, _, factor, _ in rows)
    left = MARGIN + LABELS
    body = []

    def text(x, y, words, kind="", anchor="start"):
        name = f' class="{kind}"' if kind else ""
        body.append(f'  <text x="{x}" y="{y}" text-anchor="{anchor}"{name}>{escape(words)}</text>')

    y = 38
    text(MARGIN, y, "Speed relative to SwiGLU in compiled PyTorch", "title")
    y += 22
    text(MARGIN, y, f"{result('ffn-cuda.json')['device']}, FP16 weights; longer is faster", "quiet")
    for title, rows in panels:
        y += 34
        text(MARGIN, y, title, "panel")
        y += 10
        top = y
        for label, kind, factor, value in rows:
            middle = y + ROW / 2
            text(left - 10, middle + 5, label, anchor="end")
            body.append(f'  <rect x="{left}" y="{middle - BAR / 2}" width="{factor * scale:.1f}" '
                        f'height="{BAR}" rx="2" class="{kind}"/>')
            text(round(left + factor * scale + 8, 1), middle + 5, f"{factor:.2f}× ({value})")
            y += ROW
        body.append(f'  <line x1="{left + scale:.1f}" y1="{top}" x2="{left + scale:.1f}" y2="{y}" '
                    'class="axis"/>')
    y += 26
    text(MARGIN, y, "* rebuilt from the paper, whose authors released no code", "quiet")
    height = y + 18
    summary = "; ".join(f"{title}: " + ", ".join(f"{factor:.2f} ({label})" for label, _, factor, _
                                                 in rows) for title, rows in panels)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title description">',
        '  <title id="title">Speed relative to SwiGLU in compiled PyTorch</title>',
        f'  <desc id="description">{escape(summary)}</desc>',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" class="page"/>',
        *body, "</svg>", ""])
