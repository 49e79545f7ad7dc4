"""How long a process takes from its start to its first append: what a cold instance adds to the first run.

Imports, configuration, clients, the lane, preflight and the first page are all in it; the bytecode is warm.
"""

from statistics import median

from bench.results import Bar, Result
from bench.world import World

NAME = "startup"
NEEDS_FIRESTORE = True
ROWS = 5_000
ROUNDS = 7
FIRST_APPEND_S = 1.5


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure small runs after one that warms files and emulators."""
    world.run(rows, page_ms=0, ack_ms=0)
    taken = [world.run(rows, page_ms=0, ack_ms=0).first_append_s for _ in range(ROUNDS)]
    middle = round(median(taken), 2)
    return Result(
        NAME,
        "From the start of the process to its first append",
        {"rows": rows, "runs": ROUNDS},
        [{"median s": middle, "least s": round(min(taken), 2), "most s": round(max(taken), 2)}],
        [Bar("seconds to the first append, median", FIRST_APPEND_S, middle)],
        {"first_append_s": middle},
    )
