"""Two charts of runs, rows and seconds, as numbers for a script and as bars for a page without one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from state.journal import Document

WIDTH, HEIGHT = 720, 120
"""Units of the picture; the page scales it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One run's bar: place and size in units of the picture, its run, and what it says."""

    x: float
    y: float
    width: float
    height: float
    run_id: str
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, oldest first; `top` is the value at the picture's upper edge, `series` what a script draws instead."""

    title: str
    unit: str
    top: float
    bars: tuple[Bar, ...]
    series: tuple[tuple[float, float], ...]


def charts(runs: Sequence[Document]) -> list[Chart]:
    """Return the charts of these runs, which come newest first; those that are not over are left out."""
    ended = [run for run in runs if run.get("finished_at_us")][::-1]
    return [
        _chart("Rows committed per run", "rows", [(run, float(run.get("rows_committed") or 0)) for run in ended]),
        _chart("Duration of each run", "s", [(run, duration_s(run) or 0.0) for run in ended]),
    ]


def duration_s(run: Document) -> float | None:
    """Return how long a run took by its own clock, None while it lasts."""
    ended_us = run.get("finished_at_us")
    return None if ended_us is None else max(0.0, (ended_us - run["started_at_us"]) / 1e6)


def as_json(chart: Chart) -> dict[str, Any]:
    """Return what the page's script draws: times in seconds since 1970, and values."""
    return {
        "title": chart.title,
        "unit": chart.unit,
        "at": [at for at, _ in chart.series],
        "values": [value for _, value in chart.series],
    }


def _chart(title: str, unit: str, values: Sequence[tuple[Document, float]]) -> Chart:
    top = max((value for _, value in values), default=0.0) or 1.0
    slot = WIDTH / max(len(values), 1)
    width = min(slot * 0.7, 24.0)
    bars = tuple(
        _bar(run, value, unit, x=number * slot + (slot - width) / 2, width=width, top=top)
        for number, (run, value) in enumerate(values)
    )
    return Chart(title, unit, top, bars, tuple((run["started_at_us"] / 1e6, value) for run, value in values))


def _bar(run: Document, value: float, unit: str, *, x: float, width: float, top: float) -> Bar:  # noqa: PLR0913 - a bar
    height = max(value / top * HEIGHT, 1.0)
    text = f"{value:,.0f} {unit}" if unit == "rows" else f"{value:,.1f} {unit}"
    return Bar(
        round(x, 1), round(HEIGHT - height, 1), round(width, 1), round(height, 1), run["run_id"], run["status"], text
    )
