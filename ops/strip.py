"""The last runs as a strip of cells, with a cell for every tick of the schedule at which nothing came. Pure.

A run belongs to the tick it started in, by its writer's clock. So a run that was started a minute early shows beside
its tick, not in it; nothing is decided by this, it is only looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from state.journal import Document

TICK_US = 600 * 1_000_000
"""Ten minutes: the schedule of the contract (`*/10 * * * *`)."""
CELLS = 144
"""A day of ticks."""
GRACE_US = 90 * 1_000_000
"""A tick younger than this is not called missing yet: the trigger, a cold start and a first commit take their time."""

Kind = Literal["complete", "partial", "failed", "running", "skipped", "missing"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run, one skipped trigger, or one tick at which nothing came. `run_id` is empty where there is none; `text`
    says it in words.
    """

    kind: Kind
    at_us: int
    run_id: str = ""
    text: str = ""


def strip(runs: Sequence[Document], skips: Sequence[Document], now_us: int, cells: int = CELLS) -> list[Cell]:
    """Return the newest `cells` cells, the oldest of them first.

    `runs` and `skips` are documents of one lane in any order. Before the first of them nothing is missing: the pipeline
    may not have existed.
    """
    came = sorted([*map(_of_run, runs), *map(_of_skip, skips)], key=lambda cell: cell.at_us)
    if not came:
        return []
    missing = _missing({cell.at_us // TICK_US for cell in came}, came[0].at_us // TICK_US, now_us, cells)
    return sorted([*came, *missing], key=lambda cell: cell.at_us)[-cells:]


def counted(cells: Iterable[Cell]) -> dict[str, int]:
    """Return how many cells there are of each kind that occurs."""
    found: dict[str, int] = {}
    for cell in cells:
        found[cell.kind] = found.get(cell.kind, 0) + 1
    return found


def _missing(taken: set[int], first: int, now_us: int, cells: int) -> list[Cell]:
    last = (now_us - GRACE_US) // TICK_US
    ticks = range(max(first, last - cells), last + 1)
    return [Cell("missing", tick * TICK_US, text="no run was started") for tick in ticks if tick not in taken]


def _of_run(run: Document) -> Cell:
    status = str(run.get("status"))
    kind = _KINDS.get(status, "failed")
    return Cell(kind, run["started_at_us"], run["run_id"], str(run.get("error") or ""))


def _of_skip(skip: Document) -> Cell:
    live = skip.get("live_run")
    return Cell("skipped", skip["at_us"], text=f"run {live} was alive" if live else str(skip.get("reason") or ""))


_KINDS: dict[str, Kind] = {"complete": "complete", "partial": "partial", "failed": "failed", "running": "running"}
