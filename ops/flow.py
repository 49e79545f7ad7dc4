"""Is data flowing? One verdict, one sentence and one line a lane, from the ledger. Reads only.

Costs, a lane: its snapshot and at most `CELLS` runs, of one lane as many skips; while a run is at work, or died, its
entries so far besides (`ops.lane_now`) and, when they are too many, at most `SHOWN_IN_DOUBT` batches; and two counts
for the pipeline. All are asked at once.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from ops.lane_now import lane_now
from ops.strip import CELLS, TICK_US, Cell, strip
from state.events import OPS_LANE, Position
from state.fold import LaneState
from state.journal import BatchQuery, Document, Journal

LATE_US, STOPPED_US = 2 * TICK_US, 6 * TICK_US
"""Without a complete run for this long the line turns yellow; for this long, red."""
SHOWN_IN_DOUBT = 300
"""More than the batches that one run may have in flight (256)."""
SHOWN_LANES = 20
_AT_ONCE = 6
"""Questions asked of the ledger at once."""
OTHER_RUNS = 20
"""Runs of a lane whose strip is not shown: enough to find its last complete one, or to say that there was none."""
Level = Literal["good", "warn", "bad"]
_ORDER: tuple[Level, ...] = ("good", "warn", "bad")


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """A lane's line. Ages are seconds; `success_us` is when the newest complete run started."""

    lane: str
    level: Level
    text: str
    success_us: int | None
    success_run: str
    lag_s: float | None
    checkpoint: Position | None
    live_run: str
    in_doubt: int
    oldest_in_doubt_s: float | None
    unpublished: int
    paused: str | None
    systemic: str
    last_run: Document | None


@dataclass(frozen=True, slots=True)
class Health:
    """The whole pipeline: the worst lane's level, a sentence, and what waits for a person."""

    level: Level
    text: str
    lanes: tuple[LaneHealth, ...]
    more_lanes: int
    dead: int
    replaying: int
    open_records: int
    runs: tuple[Document, ...]
    strip: tuple[Cell, ...]
    strip_lane: str


def source_lanes(journal: Journal) -> list[str]:
    """Return the lanes that runs write, partitions by number first."""
    lanes = [lane for lane in journal.read_lanes() if lane != OPS_LANE]
    return sorted(lanes, key=lambda lane: (not lane.isdecimal(), int(lane) if lane.isdecimal() else 0, lane))


@dataclass(frozen=True, slots=True)
class _Stands:
    """What the ledger says of a lane now: its snapshot, whether a run is at work, what is in doubt and since when."""

    state: LaneState
    is_live: bool
    in_doubt: int
    oldest_us: int | None


def health(
    journal: Journal, now_us: int, stale_s: float, strip_lane: str | None = None, *, cells: int = CELLS
) -> Health:
    """Return the pipeline's health, with the strip of one lane: the first unless told; without one of no cells."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = pool.submit(journal.count_waiting)
        open_records = pool.submit(journal.count_open_records)
        lanes = source_lanes(journal)
        chosen = strip_lane if strip_lane in lanes else (lanes[0] if lanes else "")
        listed = {
            lane: pool.submit(journal.list_runs, lane=lane, limit=(cells if lane == chosen else 0) or OTHER_RUNS)
            for lane in dict.fromkeys([*lanes[:SHOWN_LANES], *([chosen] if chosen else [])])
        }
        since_us = now_us - (cells + 1) * TICK_US
        skips = pool.submit(journal.list_skips, lane=chosen, since_us=since_us, limit=cells) if cells else None
        stands = [pool.submit(_stands, journal, lane, stale_s) for lane in lanes[:SHOWN_LANES]]
        runs = {lane: asked.result() for lane, asked in listed.items()}
        lines = tuple(
            _line(lane, found.result(), runs[lane], now_us) for lane, found in zip(lanes, stands, strict=False)
        )
        level, text = verdict(lines, sum(waiting.result()), open_records.result())
        return Health(
            level=level,
            text=text,
            lanes=lines,
            more_lanes=max(0, len(lanes) - SHOWN_LANES),
            dead=waiting.result().dead,
            replaying=waiting.result().replaying,
            open_records=open_records.result(),
            runs=tuple(runs.get(chosen, ())),
            strip=tuple(strip(runs.get(chosen, ()), skips.result(), now_us, cells)) if skips else (),
            strip_lane=chosen,
        )


def _stands(journal: Journal, lane: str, stale_s: float) -> _Stands:
    now = lane_now(journal, lane)
    is_live = now.state.run_open and now.heard_s is not None and now.heard_s < stale_s
    if now.is_whole:
        oldest_us = min((batch.ingest_time_us for batch in now.state.unsettled), default=None)
        return _Stands(now.state, is_live, len(now.state.unsettled), oldest_us)
    doubt = journal.list_batches(BatchQuery(status="ATTEMPTED", lane=lane), limit=SHOWN_IN_DOUBT)
    return _Stands(now.state, is_live, len(doubt), doubt[-1]["attempted_at_us"] if doubt else None)


def _line(lane: str, stands: _Stands, runs: Sequence[Document], now_us: int) -> LaneHealth:
    """Return one lane's line; `runs` are its newest, newest first."""
    state = stands.state
    success = next((run for run in runs if run.get("status") == "complete"), None)
    level, text = judged(state, runs, success, now_us, is_live=stands.is_live)
    return LaneHealth(
        lane=lane,
        level=level,
        text=text,
        success_us=success["started_at_us"] if success else None,
        success_run=success["run_id"] if success else "",
        lag_s=(now_us - success["started_at_us"]) / 1e6 if success else None,
        checkpoint=state.checkpoint,
        live_run=state.run_id if stands.is_live else "",
        in_doubt=stands.in_doubt,
        oldest_in_doubt_s=(now_us - stands.oldest_us) / 1e6 if stands.oldest_us is not None else None,
        unpublished=len(state.outbox),
        paused=state.pause_reason if state.paused else None,
        systemic=f"{state.systemic.code}: {state.systemic.error}" if state.systemic else "",
        last_run=runs[0] if runs else None,
    )


def judged(  # noqa: PLR0911 - one a verdict
    state: LaneState, runs: Sequence[Document], success: Document | None, now_us: int, *, is_live: bool
) -> tuple[Level, str]:
    """Return the verdict on a lane and why, the gravest first. Pure."""
    if state.paused:
        return "warn", "paused by a person: runs skip until it is resumed"
    last = next((run for run in runs if run.get("status") != "running"), None)
    if state.systemic is not None:
        return "bad", "BigQuery takes no batch; each run asks again with one before it reads"
    if last is not None and last.get("status") == "failed":
        return "bad", "the last run failed"
    if not runs:
        return "warn", "no run has started yet"
    since_us = now_us - (success["started_at_us"] if success else runs[-1]["started_at_us"])
    if since_us > STOPPED_US and not is_live:
        return "bad", "no complete run for over an hour"
    if since_us > LATE_US:
        return "warn", "a run is at work, the last complete one is late" if is_live else "the last complete run is late"
    return "good", "a run is at work" if is_live else "on schedule"


def verdict(lines: Sequence[LaneHealth], dead: int, open_records: int) -> tuple[Level, str]:
    """Return the pipeline's level and the sentence that a person reads first. Pure."""
    if not lines:
        return "warn", "No run has started yet."
    worst = max(lines, key=lambda line: _ORDER.index(line.level))
    waiting = [f"{dead:,} {_plural(dead, 'batch is', 'batches are')} set aside"] if dead else []
    waiting += (
        [f"{open_records:,} {_plural(open_records, 'batch has', 'batches have')} rejected records"]
        if open_records
        else []
    )
    where = f"Lane {worst.lane}: " if len(lines) > 1 else ""
    flow = "Data is flowing" if worst.level == "good" else f"{where}{worst.text}"
    text = f"{flow[0].upper()}{flow[1:]}" + (f"; {' and '.join(waiting)}." if waiting else ".")
    level: Level = "warn" if worst.level == "good" and waiting else worst.level
    return level, text


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
