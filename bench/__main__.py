"""`python -m bench [NAME] [--rows N]`: measure, print the tables, keep the figures in `bench/results/latest.json`.

A benchmark is a module here with `NAME`, `NEEDS_FIRESTORE`, `ROWS` and `measure(world, rows) -> Result`, named in
`BENCHMARKS`. It judges sizes, counts and ratios of one run. Figures are kept only when measured with its own rows. Each
is measured in a process of its own, which must stay smaller than the runs whose memory it measures.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

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


BENCHMARKS = ("append", "encode", "end_to_end", "ledger", "memory", "ops_emulator", "ops_pages", "startup")


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name."""
    return cast("Benchmark", import_module(f"bench.{name}"))


def main() -> int:
    """Measure; 0 when everything asked for was measured and every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="only this one")
    parser.add_argument("--rows", type=int, help="other than its own number; the figures are printed, not kept")
    arguments = parser.parse_args()
    if arguments.name is None:
        again = [sys.executable, "-m", "bench", *(["--rows", str(arguments.rows)] if arguments.rows else [])]
        ended = [subprocess.run([*again, name], check=False).returncode for name in BENCHMARKS]
        return max(ended)  # all of them, whatever the first says
    try:
        return 0 if one(benchmark(arguments.name), arguments.rows) else 1
    except (ServiceError, RunFailedError) as error:
        print(f"{arguments.name}: {error}", file=sys.stderr)
        return 1


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
