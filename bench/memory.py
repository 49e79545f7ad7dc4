"""How much memory a run takes, and that it does not grow with the number of rows.

The last measurement has the acknowledgements so late that the window is full: the most batches that a run ever holds.
MB are 10^6 bytes. Speed is compared from the first append to the last: what a run costs once, at its start and its end,
would make any long run look faster than a short one.
"""

from bench.results import Bar, Result
from bench.world import PAGE_ROWS, Measured, RunFailedError, World

NAME = "memory"
NEEDS_FIRESTORE = False
ROWS = 1_000_000
TENTH = 10
PEAK_MB = 300.0
"""A page of 5,000 rows at 1,000,000 rows in all, with the default batches."""
GROWTH, FLAT = 1.2, 1.1
"""Memory and speed at a million rows against a hundred thousand."""
PAGE_MS = 100
ACK_MS, LATE_MS = 100, 5_000


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure runs over a tenth of the rows and over all of them."""
    cases = ((rows // TENTH, ACK_MS), (rows, ACK_MS), (rows, LATE_MS))
    runs = [(count, ack_ms, world.run(count, page_ms=PAGE_MS, ack_ms=ack_ms)) for count, ack_ms in cases]
    few, many, _ = (run for *_, run in runs)
    if not all(run.peak_rss_bytes for *_, run in runs):
        raise RunFailedError("a run was smaller than the process that measures it: its peak cannot be told")
    peak = max(run.peak_rss_bytes for *_, run in runs) / 1e6
    flows = few.flow_rows_per_s, many.flow_rows_per_s
    flat = max(flows) / min(flows)
    return Result(
        NAME,
        "Peak memory of `ingestor run`",
        {"rows a page": PAGE_ROWS, "page ms": PAGE_MS, "ledger": "SQLite", "batches": "default"},
        [{"rows": count, "answer ms": ack_ms, **figure(run)} for count, ack_ms, run in runs],
        [
            Bar(f"peak RSS in MB at {rows:,} rows", PEAK_MB, round(peak, 1)),
            Bar("peak RSS, of that at a tenth of the rows", GROWTH, round(many.peak_rss_bytes / few.peak_rss_bytes, 2)),
            Bar("rows/s from first to last append, the faster of the slower", FLAT, round(flat, 2)),
        ],
        {"rss_1e5_mib": _mib(few), "rss_1e6_mib": _mib(many)},
    )


def figure(run: Measured) -> dict[str, int | float | str]:
    """Return what is told of one run."""
    rows = run.summary["rows_committed"]
    return {
        "peak RSS MB": round(run.peak_rss_bytes / 1e6, 1),
        "seconds": round(run.seconds, 1),
        "rows/s": run.rows_per_s,
        "first to last append": run.flow_rows_per_s,
        "CPU µs/row": round(run.cpu_s / rows * 1e6, 1),
        "in flight": run.sink["flights.in_flight"],
    }


def _mib(run: Measured) -> float:
    return round(run.peak_rss_bytes / 2**20, 1)
