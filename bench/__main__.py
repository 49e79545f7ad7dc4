"""`python -m bench [NAME] [--rows N]`: measure, print the tables, keep the figures in `bench/results/latest.json`.

A benchmark is a module here with `NAME`, `NEEDS_FIRESTORE`, `ROWS` and `measure(world, rows) -> Result`, named in
`BENCHMARKS`. It judges sizes and counts, never times. Figures are kept only when measured with its own rows.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Protocol, cast

from bench import append, encode, end_to_end, ledger, memory, startup
from bench.results import LATEST, Result, circumstances, keep
from bench.world import RunFailedError, World
from ops.local.process import ROOT, ServiceError
from ops.local.services import FirestoreEmulator


class Benchmark(Protocol):
    """What `BENCHMARKS` holds."""

    NAME: str
    NEEDS_FIRESTORE: bool
    ROWS: int
    measure: Callable[[World, int], Result]


BENCHMARKS = {
    module.NAME: cast("Benchmark", module) for module in (append, encode, end_to_end, ledger, memory, startup)
}


def main() -> int:
    """Measure; 0 when everything asked for was measured and every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="only this one")
    parser.add_argument("--rows", type=int, help="other than its own number; the figures are printed, not kept")
    arguments = parser.parse_args()
    chosen = [BENCHMARKS[arguments.name]] if arguments.name else list(BENCHMARKS.values())
    try:
        held = [one(benchmark, arguments.rows) for benchmark in chosen]  # all of them, whatever the first says
    except (ServiceError, RunFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(held) else 1


def one(benchmark: Benchmark, rows: int | None) -> bool:
    """Measure and print one; return whether its bars hold."""
    if benchmark.NEEDS_FIRESTORE and (why := FirestoreEmulator.available()):
        print(f"{benchmark.NAME} was not measured: {why}", flush=True)
        return False
    before = circumstances()
    with World(firestore=benchmark.NEEDS_FIRESTORE) as world:
        result = benchmark.measure(world, rows or benchmark.ROWS)
    print("\n".join(result.lines()), end="\n\n", flush=True)
    if rows in {None, benchmark.ROWS}:
        keep(result, before)
        print(f"kept in {LATEST.relative_to(ROOT)}\n", flush=True)
    return result.holds


if __name__ == "__main__":
    sys.exit(main())
