"""`ingestor`, stopped at a named point: `python -m tests.e2e.dying POINT NUMBER SIGNAL [AGED_S] -- run --json`.

The process sends itself SIGNAL at the NUMBER-th time that it comes to POINT: an effect's name, then `:before` or
`:after`. A commit is called after each kind of event in it. Production code knows nothing of this: the launcher wraps
the adapters' own methods before the command starts. AGED_S makes every journal entry look so many seconds older, as the
server's clock would say after that time.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

POINTS = tuple(
    f"{effect}:{when}"
    for effect in (
        "run_started",
        "source.fetch",
        "batch_attempted",
        "append",
        "batch_committed",
        "publish",
        "batches_published",
        "run_finished",
    )
    for when in ("before", "after")
)
"""Every effect of a run without refusals, before and after."""


class Dying:
    """Counts effects and ends, or stops, the process at one of them."""

    def __init__(self, point: str, number: int, with_signal: int) -> None:
        self._point, self._number, self._signal = point, number, with_signal
        self._seen: Counter[str] = Counter()

    def at(self, point: str) -> None:
        """Come to a point."""
        self._seen[point] += 1
        if point == self._point and self._seen[point] == self._number:
            os.kill(os.getpid(), self._signal)

    def around(self, owner: Any, method: str, names: Callable[..., list[str]]) -> None:
        """Make a method of a class come to the points before and after it."""
        real = getattr(owner, method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            effects = names(*args)
            for effect in effects:
                self.at(f"{effect}:before")
            done = real(*args, **kwargs)
            for effect in effects:
                self.at(f"{effect}:after")
            return done

        setattr(owner, method, wrapped)

    def before(self, owner: Any, method: str, point: str) -> None:
        """Make a method of a class come to a point before it does anything."""
        real = getattr(owner, method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.at(point)
            return real(*args, **kwargs)

        setattr(owner, method, wrapped)


def aged(owner: Any, seconds: float) -> None:
    """Make entries look older."""
    entry, entries = owner.read_entry, owner.read_entries

    def older(found: Any) -> Any:
        return replace(found, age_s=found.age_s + seconds)

    def read_entry(self: Any, lane: str, version: int) -> Any:
        found = entry(self, lane, version)
        return older(found) if found else None

    owner.read_entry = read_entry
    owner.read_entries = lambda self, lane, first, limit: [older(e) for e in entries(self, lane, first, limit)]


def main(arguments: list[str]) -> None:
    """Wrap the adapters and start the command."""
    from ingestor.append import Connection  # noqa: PLC0415 - Google's clients load late here too
    from ingestor.cli import main as ingestor  # noqa: PLC0415 - likewise
    from ingestor.publish import LedgerTable  # noqa: PLC0415 - likewise
    from ingestor.source import HttpSource  # noqa: PLC0415 - likewise
    from state.firestore import FirestoreJournal  # noqa: PLC0415 - likewise
    from state.sqlite import SqliteJournal  # noqa: PLC0415 - likewise

    at = arguments.index("--")
    point, number, name, *age = arguments[:at]
    dying = Dying(point, int(number), getattr(signal, name))
    for journal in (FirestoreJournal, SqliteJournal):
        dying.around(journal, "commit", lambda _, commit: [*dict.fromkeys(e["type"] for e in commit.entry.events)])
        if age:
            aged(journal, float(age[0]))
    dying.around(HttpSource, "fetch", lambda *_: ["source.fetch"])
    dying.around(LedgerTable, "publish", lambda _, statements: ["publish"] if statements else [])
    dying.before(Connection, "send", "append:before")  # what is sent here is on its way a moment later
    dying.before(Connection, "_answer", "append:after")  # BigQuery has answered, nobody has heard of it
    sys.argv = ["ingestor", *arguments[at + 1 :]]
    ingestor()


if __name__ == "__main__":
    main(sys.argv[1:])
