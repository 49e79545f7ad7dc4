"""How much memory a run takes, and that it does not grow with the number of rows.

The last measurement has the acknowledgements so late that the window is full: the most batches that a run ever holds.
MB are 10^6 bytes.
"""

from bench.results import Bar, Result
from bench.world import PAGE_ROWS, Measured, World

NAME = "memory"
NEEDS_FIRESTORE = False
ROWS = 1_000_000
TENTH = 10
PEAK_MB = 300.0
"""Issue 2: a page of 5,000 rows at 1,000,000 rows in all, with the default batches."""
PAGE_MS = 100
ACK_MS, LATE_MS = 100, 5_000


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure runs over a tenth of the rows and over all of them."""
    figures, peak = [], 0.0
    for count, ack_ms in ((rows // TENTH, ACK_MS), (rows, ACK_MS), (rows, LATE_MS)):
        run = world.run(count, page_ms=PAGE_MS, ack_ms=ack_ms)
        figures.append({"rows": count, "answer ms": ack_ms, **figure(run)})
        peak = max(peak, run.peak_rss_bytes / 1e6)
    return Result(
        NAME,
        "Peak memory of `ingestor run`",
        {"rows a page": PAGE_ROWS, "page ms": PAGE_MS, "ledger": "SQLite", "batches": "default"},
        figures,
        [Bar(f"peak RSS in MB at {rows:,} rows", PEAK_MB, round(peak, 1))],
    )


def figure(run: Measured) -> dict[str, int | float | str]:
    """Return what is told of one run."""
    rows = run.summary["rows_committed"]
    return {
        "peak RSS MB": round(run.peak_rss_bytes / 1e6, 1),
        "seconds": round(run.seconds, 1),
        "rows/s": run.rows_per_s,
        "CPU µs/row": round(run.cpu_s / rows * 1e6, 1),
        "in flight": run.sink["flights.in_flight"],
    }
