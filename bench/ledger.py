"""How many Firestore documents a run writes for its ledger.

Counted twice: by the run itself (`ledger_writes` of its summary) and by a witness on the wire (`bench.tap`), in the
Commit calls that the emulator accepted. The bar is on what the witness saw.
"""

from bench.results import Bar, Result
from bench.world import Measured, World

NAME = "ledger"
NEEDS_FIRESTORE = True
BATCH_ROWS = 1_000
ROWS = 200 * BATCH_ROWS
ACK_MS = (0, 50, 200, 1_000)
"""Latencies of an acknowledgement. The last fills the window even where encoding takes its time."""
IN_FLIGHT = 8
PER_BATCH, PER_RUN = 3, 8
"""Document writes for each batch, and beside them for each run."""


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure one run for each latency."""
    settings = {"BATCH_MAX_ROWS": str(BATCH_ROWS), "MAX_IN_FLIGHT": str(IN_FLIGHT)}
    figures, bars = [], []
    for ack_ms in ACK_MS:
        run = world.run(rows, page_ms=0, ack_ms=ack_ms, **settings)
        figures.append({"answer ms": ack_ms, **figure(run)})
        allowed = PER_BATCH * run.summary["batches_committed"] + PER_RUN
        bars.append(Bar(f"document writes with answers after {ack_ms} ms", allowed, run.firestore["writes"]))
    return Result(
        NAME,
        "Firestore document writes of a run",
        {"rows a batch": BATCH_ROWS, "batches in flight at most": IN_FLIGHT, "rows": rows},
        figures,
        bars,
        {"writes_per_batch": max(float(f["writes a batch"]) for f in figures)},
    )


def figure(run: Measured) -> dict[str, int | float | str]:
    """Return what is told of one run."""
    batches, writes = run.summary["batches_committed"], run.firestore["writes"]
    return {
        "batches": batches,
        "in flight": run.sink["flights.in_flight"],
        "commits": run.firestore["commits"],
        "writes": writes,
        "the run's count": run.summary["ledger_writes"],
        "allowed": PER_BATCH * batches + PER_RUN,
        "writes a batch": round(writes / batches, 2),
        "seconds": round(run.seconds, 1),
    }
