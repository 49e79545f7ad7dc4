"""The crash matrix as a document: `python -m tests.explorer.matrix` writes `docs/crash-matrix.md`.

What is in it is explored when it is written: every schedule with one fault, every history by name, every mutant.
"""

import re
import sys
from pathlib import Path

from tests.explorer.explore import Explored, Explorer
from tests.explorer.faults import Fault
from tests.explorer.histories import ALL, NAMED
from tests.explorer.mutants import FURTHER, Mutant, applied
from tests.explorer.mutants import NAMED as ASKED

DOCUMENT = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
COLUMNS = (
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.CRASH_AFTER,
    Fault.OTHER_RUN,
    Fault.CLOCK_JUMPED,
    Fault.SOURCE_CHANGED,
    Fault.LATE,
    Fault.DENIED,
)
HEAD = """<!-- Written by `make explore`; change the code, not this file. A test says when it is stale. -->
# Crash matrix

What goes wrong where, and what comes of it. The explorer (`tests/explorer/`) tells one story with the real code of
runs and replays, over ports in memory that pass the contract suites of the real ones: two pages, five batches, a record
that is no row, a row that BigQuery refuses, a batch that it refuses, a replay, a source that grows, a second run, and a
third one that may come in at any effect. At every effect of every process (a call of a port: journal, bucket, source,
append, publication, metadata) something may go wrong:

| fault | is |
|---|---|
| error-before, error-after | the call fails; it was not, or it was applied (a lost answer) |
| crash-after | the process is killed; a crash before an effect is the crash after the one before it |
| other-run | another whole run takes the lane over first; this process goes on as a zombie |
| clock-jumped | the monotonic clock leaps over every timeout, the wall clock goes back a day |
| source-changed | the source rewrites records that were read, and some that were not |
| late | an append's connection is lost, and its rows land after everything else |
| denied | BigQuery answers that it takes nothing: a systemic failure |

After the faults the story goes on without any, the late rows land, and the laws are checked from outside: every record
of the source is in the view once or in the bucket where the ledger says so (1, 2), no reader ever saw a row twice or a
batch that is not committed (2), nothing was sent before its intent (4), the books of every run balance and every
committed batch has the rows that the ledger counts (5), the hash chains are whole (3), and a clean run ends complete.

"""


def document() -> str:
    """Explore, and return the document."""
    found = Explorer(faults=1).explore()
    return HEAD + "\n".join([*matrix(found), *numbers(found), *named_histories(), *_mutants()]) + "\n"


def shape(text: str) -> str:
    """Return the document without its numbers: they change whenever the code does one effect more."""
    return re.sub(r"\d+", "N", text)


def matrix(found: Explored) -> list[str]:
    """Return the table of effects and faults."""
    rows = dict.fromkeys(what for what, _ in found.points)
    lines = [
        "## Ledger transition and fault",
        "",
        "Schedules told with this fault at the effect that writes, reads or sends this, each followed by a clean end.",
        "A dash: it cannot be told apart from a fault that is in the table.",
        "",
        "| effect | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    for what in sorted(rows):
        cells = (str(found.points[what, fault] or "-") for fault in COLUMNS)
        lines.append(f"| `{what}` | " + " | ".join(cells) + " |")
    return [*lines, ""]


def numbers(found: Explored) -> list[str]:
    """Return the four numbers of a queue's test."""

    def counted(*words: str) -> int:
        return sum(any(word in text for word in words) for text in found.violations)

    others = counted("law 3", "law 4", "law 5", "convergence")
    return [
        "## The four numbers",
        "",
        f"Over the {found.schedules} schedules with at most one fault:",
        "",
        "| lost | doubled | unexpected | recovered |",
        "|---:|---:|---:|---:|",
        f"| {counted('law 1')} | {counted('law 2')} | {others} | {found.recovered} |",
        "",
        "*Lost*: records that are neither visible nor in the bucket. *Doubled*: records that a reader sees twice.",
        "*Unexpected*: anything else that breaks a law. *Recovered*: processes that were killed or failed, whose work",
        "a later one finished. The figures for two and three faults are in [proof.md](proof.md).",
        "",
    ]


def named_histories() -> list[str]:
    """Return what became of each history by name."""
    lines = ["## Histories by name", "", "| history | laws |", "|---|---|"]
    for name, tell in ALL.items():
        asked = " (asked for)" if name in NAMED else ""
        lines.append(f"| {name}{asked} | {'; '.join(tell()) or 'hold'} |")
    return [*lines, ""]


def _mutants() -> list[str]:
    lines = ["## Broken variants", "", "Each is the code with a few words changed; the laws that say so:", ""]
    for title, mutants in (("asked for", ASKED), ("devised from the code, before its tests were read", FURTHER)):
        lines += [f"| variant ({title}) | shown by | laws |", "|---|---|---|"]
        for mutant in mutants:
            where, laws = caught(mutant)
            lines.append(f"| {mutant.name} | {where} | {', '.join(laws) or 'NOT CAUGHT'} |")
        lines.append("")
    return lines[:-1]


def caught(mutant: Mutant) -> tuple[str, tuple[str, ...]]:
    """Return what shows the broken variant, a history or a schedule of the explorer, and the laws that it breaks."""
    with applied(mutant):
        for name, tell in ALL.items():
            try:
                wrong = tell()
            except AssertionError:  # broken so much that the history does not come about: no law has said so yet
                continue
            if wrong:
                return name, _laws("; ".join(wrong))
        found = Explorer(faults=1, stop_at=1).explore()
    return "one fault", _laws(found.violations[0]) if found.violations else ()


def _laws(text: str) -> tuple[str, ...]:
    laws = sorted(set(re.findall(r"law \d", text)))
    return (*laws, "no convergence") if "no convergence" in text else tuple(laws)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.name} is written\n")
