"""The pages `figures.md` and `cost.md`, from the kept figures and the list prices; `make docs` writes them."""  # noqa: INP001 - a script beside what it writes, not a package

import json
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from bench.results import LATEST, Bar, Result
from ingestor import cost
from ingestor.cost import Usage

HERE = Path(__file__).parent
FIGURES_PAGE, COST_PAGE = HERE / "figures.md", HERE / "cost.md"
CHARTS = {
    "encode": "performance-encode.svg",
    "end_to_end": "performance-end-to-end.svg",
    "memory": "performance-memory.svg",
}
ORDER = ("end_to_end", "encode", "append", "memory", "startup", "ledger", "ops_pages")
RUNS_A_DAY = 144
ROW_BYTES = 215
"""A flight with its metadata columns, as `make demo` sends it."""
BATCH_ROWS, WRITES_A_BATCH, WRITES_A_RUN = 5_000, 3, 8
"""The default cut, and the ledger's budget: what is measured is less."""
ROWS_PER_S, RUN_S = 20_000, 2.0
"""A cautious speed and what a run takes beside it; on Cloud Run the source decides."""

FIGURES_HEAD = """<!-- Written by `make docs` from bench/results/latest.json; run `make bench` to measure anew. -->
# Figures

Measured by `make bench` on a machine of the kind named under each table; ratios are of one run, medians of several
rounds. What each way does stands in [bench/baseline.py](../bench/baseline.py); how it was reached, and what was tried
and left, in [performance.md](performance.md).
"""

COST_HEAD = f"""<!-- Written by `make docs` from ingestor/cost.py; change that, not this file. -->
# Cost

Every run's summary says what it used and what that costs at list prices: `cost.write_api_bytes`,
`cost.firestore_writes`, `cost.storage_writes`, `cost.cloud_run_s`, `cost.usd`, `cost.usd_per_million_rows`.

| what | counted as | list price, US dollars |
|---|---|---|
| Storage Write API | bytes of the rows sent, repeats included | {cost.WRITE_API_USD_PER_GIB} per GiB beyond 2 TiB |
| Firestore | documents written by the ledger | {cost.FIRESTORE_USD_PER_WRITE * 100_000:.2f} per 100,000 |
| Cloud Storage | objects written: dead letters | {cost.STORAGE_USD_PER_WRITE * 1000:.3f} per 1,000 |
| Cloud Run | seconds of the request, one vCPU and 512 MiB | {cost.CLOUD_RUN_USD_PER_S:.8f} per second |

Prices are those of one region in the cheapest tier, of November 2026; check them before you quote them. The Storage
Write API bills bytes without a minimum for a row: the minimum of 1 KB a row that is often quoted belongs to the REST
API (`insertAll`), which is not used here. A batch that is set aside or has rejected records costs the ledger one
document more than others. Not in these figures: storage and queries in BigQuery (the dedup view reads the ledger table
and the partitions that a query's filter leaves), network, Cloud Scheduler, logs, the document reads with which a run
opens its lane (the snapshot and the entries after it, whatever the pipeline's age), the free tiers.

## A month of a pipeline

One run every ten minutes, rows of {ROW_BYTES} bytes (a flight with its metadata columns), batches of {BATCH_ROWS:,}
rows, the ledger's whole budget of {WRITES_A_BATCH} document writes a batch and {WRITES_A_RUN} a run, {ROWS_PER_S:,}
rows a second and {RUN_S:.0f} s a run beside; 30 days.

| rows a day | Storage Write API | Firestore | Cloud Run | a month | per million rows |
|---:|---:|---:|---:|---:|---:|
"""
COST_TAIL = """
Up to a million rows a day the runs themselves cost, not the rows: fewer runs are the only saving. From ten million on
the bytes lead, and no ingestor changes those; Cloud Run's seconds follow the source's speed. Larger batches save
document writes: a batch costs the same whatever its rows, up to `BATCH_MAX_BYTES`.
"""


def figures() -> str:
    """Return the text of `figures.md`."""
    kept = json.loads(LATEST.read_text())
    parts = (_part(name, kept[name]) for name in ORDER if name in kept)
    return FIGURES_HEAD + "".join(parts)


def _part(name: str, kept: Mapping[str, Any]) -> str:
    bars = [Bar(**{key: value for key, value in bar.items() if key != "holds"}) for bar in kept["bars"]]
    title, _, *table = Result(name, kept["title"], kept["settings"], kept["figures"], bars).lines()
    lines = [f"\n## {title}\n", *_rows(table)]
    if name in CHARTS and (HERE / "images" / CHARTS[name]).exists():
        lines.append(f"![{kept['title']}](images/{CHARTS[name]})\n")
    return "\n".join(lines) + "\n" + _circumstances(kept)


def _rows(lines: list[str]) -> Iterator[str]:
    """Yield the table, then each bar as an item."""
    for line in lines:
        verdict, _, rest = line.partition("  ")
        yield (
            line
            if line.startswith("|") or not line
            else f"- {'held' if verdict.startswith('holds') else '**missed**'}: {rest.strip()}"
        )
    yield ""


def _circumstances(kept: Mapping[str, Any]) -> str:
    machine, versions = kept["machine"], ", ".join(f"{name} {number}" for name, number in kept["versions"].items())
    return (
        f"{kept['date'][:10]}, commit {kept['commit']}, {machine['cpu']}, {machine['cores']} cores (shared, load "
        f"{machine['load_before']} beforehand), {machine['system']}; {versions}.\n"
    )


def costs() -> str:
    """Return the text of `cost.md`."""
    return COST_HEAD + "".join(map(_month, (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000))) + COST_TAIL


def _month(rows_a_day: int) -> str:
    runs = RUNS_A_DAY * 30
    rows = rows_a_day * 30
    batches = runs * ceil(rows / runs / BATCH_ROWS)
    wire = Usage(rows * ROW_BYTES, 0, 0, 0)
    ledger = Usage(0, batches * WRITES_A_BATCH + runs * WRITES_A_RUN, 0, 0)
    run = Usage(0, 0, 0, rows / ROWS_PER_S + runs * RUN_S)
    total = wire.usd + ledger.usd + run.usd
    cells = (wire.usd, ledger.usd, run.usd, total, total / rows * 1_000_000)
    return f"| {rows_a_day:,} | " + " | ".join(f"{cell:,.2f}" for cell in cells) + " |\n"
