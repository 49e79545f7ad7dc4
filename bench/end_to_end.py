"""Whole runs against other ways to do the same job, on the same servers, by turns.

The ledger is on the Firestore emulator, acknowledgements come after 100 ms, pages come from memory. Four sources:

- `memory`: pages of 5,000 without latency: what the code itself can do. Also the second baseline, the peer, and the
  CPU a row beside that of decoding, encoding and digesting alone (`parts`);
- `cursor_5000`: pages of 5,000 after 50 ms;
- `cursor_1000`: pages of 1,000 after 100 ms, beside a bare follower of the cursors: the source's own limit;
- `offset_8`: the same pages by offset, eight fetched at once, against the sample, which fetches one.

A baseline gets fewer rows where it is slow: its rate does not depend on their number. Their CPU is without the
process's start and imports. Of ours a run of one page is taken off: with those also what opening and closing a lane
costs once, which is told as `once_cpu_s`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.results import Bar, Result
from bench.world import OtherWay, World

NAME = "end_to_end"
NEEDS_FIRESTORE = True
ROWS = 1_000_000
"""Of the case without latency; the others get shares of it."""
ACK_MS = 100
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A source, the baselines measured beside it with how many rows each gets (shares of `ROWS`), the least ratios."""

    page_rows: int
    page_ms: int
    share: float
    others: Mapping[str, float]
    least: Mapping[str, float]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ours:
    """A run of ours."""

    rows_per_s: int
    cpu_s_a_row: float
    once_cpu_s: float
    """Of a run of one page."""


CASES = {
    "memory": Case(
        5_000,
        0,
        1.0,
        {"parts": 0.2, "sample": 0.06, "stream": 0.2, "peer": 0.06},
        {"sample": 10, "stream": 3},
    ),
    "cursor_5000": Case(5_000, 50, 0.5, {"sample": 0.06}, {"sample": 6}),
    "cursor_1000": Case(1_000, 100, 0.2, {"sample": 0.015, "follower": 0.2}, {"follower": 0.9}),
    "offset_8": Case(
        1_000,
        100,
        0.4,
        {"sample": 0.015},
        {"sample": 15},
        {"SOURCE_PAGINATION": "offset", "SOURCE_PARALLEL_PAGES": "8"},
    ),
}
CPU_OF_PARTS, CPU_OF_SAMPLE = 1.6, 0.2


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure every case."""
    figures: list[dict[str, int | float | str]] = []
    bars: list[Bar] = []
    named: dict[str, Any] = {}
    for name, case in CASES.items():
        ours, others = _by_turns(world, case, rows)
        cpu_times = {
            way: _median_of(ours, found, lambda run, other: run.cpu_s_a_row / (other.cpu_s / other.rows))
            for way, found in others.items()
        }
        rate = median(run.rows_per_s for run in ours)
        figures.append(_figure(name, "ours", rate, 1.0, median(run.cpu_s_a_row for run in ours)))
        named[name] = {"rows_per_s": round(rate), "once_cpu_s": round(median(run.once_cpu_s for run in ours), 2)}
        for way, found in others.items():
            ratio = _median_of(ours, found, lambda run, other: run.rows_per_s / other.rows_per_s)
            cpu = median(other.cpu_s / other.rows for other in found)
            figures.append(_figure(name, way, median(other.rows_per_s for other in found), ratio, cpu))
            if way in case.least:
                bars.append(Bar(f"{name}: times {way}", case.least[way], round(ratio, 2), at_least=True))
            key = {"sample": "ratio", "follower": "of_source_limit"}.get(way, f"times_{way}")
            named[name][key] = round(ratio, 2)
        if "parts" in others:
            bars += _cpu(figures, named[name], cpu_times)
    return Result(NAME, "Whole runs", {"ack ms": ACK_MS, "rounds": ROUNDS, "rows": rows}, figures, bars, named)


def _by_turns(world: World, case: Case, rows: int) -> tuple[list[Ours], dict[str, list[OtherWay]]]:
    ours: list[Ours] = []
    others: dict[str, list[OtherWay]] = {way: [] for way in case.others}
    for _ in range(ROUNDS):
        settings = {"SOURCE_PAGE_SIZE": str(case.page_rows), **case.settings}
        once, run = (
            world.run(some, page_ms=case.page_ms, ack_ms=ACK_MS, **settings)
            for some in (case.page_rows, max(2 * case.page_rows, round(rows * case.share)))
        )
        ours.append(Ours(run.rows_per_s, (run.cpu_s - once.cpu_s) / (run.rows - once.rows), once.cpu_s))
        for way, share in case.others.items():
            some = max(case.page_rows, round(rows * share) // case.page_rows * case.page_rows)
            others[way].append(
                world.other_way(way, some, page_rows=case.page_rows, page_ms=case.page_ms, ack_ms=ACK_MS)
            )
    return ours, others


def _median_of(ours: list[Ours], others: list[OtherWay], ratio: Callable[[Ours, OtherWay], float]) -> float:
    """Return the median of the rounds' ratios: the machine's speed changes from one round to the next."""
    return median(ratio(run, other) for run, other in zip(ours, others, strict=True))


def _figure(source: str, way: str, rate: float, ratio: float, cpu_s: float) -> dict[str, int | float | str]:
    return {
        "source": source,
        "way": way,
        "rows/s": round(rate),
        "ours to it": round(ratio, 2),
        "CPU µs/row": round(cpu_s * 1e6, 2),
    }


def _cpu(figures: list[dict[str, int | float | str]], named: dict[str, Any], times: Mapping[str, float]) -> list[Bar]:
    """Judge the CPU a row of the case without latency."""
    cpu = {f["way"]: float(f["CPU µs/row"]) for f in figures if f["source"] == "memory"}
    named["cpu_us_per_row"], named["cpu_floor_us_per_row"] = cpu["ours"], cpu["parts"]
    named["sample_cpu_us_per_row"] = cpu["sample"]
    return [
        Bar("memory: CPU a row, of decode + encode + digest", CPU_OF_PARTS, round(times["parts"], 2)),
        Bar("memory: CPU a row, of the sample's", CPU_OF_SAMPLE, round(times["sample"], 2)),
    ]
