"""Draw the kept figures as SVG for the documentation: `python -m bench.charts`, which `make bench` ends with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.results import LATEST
from ops.local.process import ROOT

IMAGES = ROOT / "docs" / "images"
OURS, OTHERS, GRID = "#1a73e8", "#9aa0a6", "#dadce0"
EXACT = 1_000
"""From here on whole numbers are exact enough."""
SOURCES = {
    "memory": "pages of 5,000, no latency",
    "cursor_5000": "cursor, pages of 5,000 after 50 ms",
    "cursor_1000": "cursor, pages of 1,000 after 100 ms",
    "offset_8": "offset, 8 pages of 1,000 at once",
}


def main() -> None:
    """Draw every chart whose figures are there."""
    kept = json.loads(LATEST.read_text())
    IMAGES.mkdir(exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
    for name, chart in (("encode", _encode), ("end_to_end", _end_to_end), ("memory", _memory)):
        if name in kept:
            _save(chart(kept[name]), IMAGES / f"performance-{name.replace('_', '-')}.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _encode(kept: Mapping[str, Any]) -> Figure:
    figures = kept["figures"]
    labels = [f"{f['shape']}: {f['way']}" for f in figures]
    return _bars("Encoding one record (µs, less is better)", labels, [f["µs/row"] for f in figures])


def _end_to_end(kept: Mapping[str, Any]) -> Figure:
    figures = [f for f in kept["figures"] if f["way"] != "parts"]
    labels = [f"{SOURCES[f['source']]}: {f['way']}" for f in figures]
    return _bars("Rows per second, whole runs", labels, [f["rows/s"] for f in figures])


def _memory(kept: Mapping[str, Any]) -> Figure:
    figures = kept["figures"]
    labels = [f"ours, {f['rows']:,} rows, answers after {f['answer ms']} ms" for f in figures]
    return _bars("Peak memory of a run (MB)", labels, [f["peak RSS MB"] for f in figures])


def _bars(title: str, labels: Sequence[str], values: Sequence[float]) -> Figure:
    figure = Figure(figsize=(8, 0.34 * len(values) + 0.9), layout="constrained")
    axes = figure.subplots()
    places = range(len(values))
    colours = [OURS if "ours" in label else OTHERS for label in labels]
    axes.barh(places, values, color=colours, height=0.7)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:,.4g}" if value < EXACT else f" {value:,.0f}", va="center")
    axes.set_xlim(0, max(values) * 1.15)
    return figure


if __name__ == "__main__":
    main()
