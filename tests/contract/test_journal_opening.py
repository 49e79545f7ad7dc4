"""What a run reads before it begins does not grow with the age of its pipeline (law 6)."""

from collections.abc import Callable
from typing import Any

import pytest

from state.events import RunFinished
from state.journal import Journal
from state.memory import MemoryJournal
from tests.unit.state.histories import landed, started, writer

Store = Callable[..., Journal]


class Counting:
    """A journal that counts the documents which reads return: what a Firestore ledger pays for."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self.read = journal, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            found = method(*args, **kwargs)
            self.read += len(found) if isinstance(found, list | tuple) else found is not None
            return found

        return counted if name.startswith(("read_", "list_")) else method


def age(journal: Journal, runs: int) -> None:
    """Let so many runs come and go on the lane."""
    ledger = writer(journal)
    ledger.open()
    for number in range(runs):
        landed(ledger, [started(f"r{number:05}")], f"r{number:05}")
        landed(ledger, [RunFinished(run_id=f"r{number:05}", status="complete")], f"r{number:05}")


def documents_read(journal: Journal) -> int:
    counting: Any = Counting(journal)
    writer(counting).open()
    return int(counting.read)


def test_opening_a_lane_after_10000_runs_reads_no_more_documents_than_after_10() -> None:
    young, old = MemoryJournal(), MemoryJournal()
    age(young, 10)
    age(old, 10_000)
    assert documents_read(old) <= documents_read(young) <= 3


@pytest.mark.parametrize("runs", [40, pytest.param(10_000, marks=pytest.mark.long)])
def test_opening_an_old_lane_reads_no_more_documents_than_a_young_one_on_every_store(store: Store, runs: int) -> None:
    young, old = store("young"), store("old")
    age(young, 10)
    age(old, runs)
    assert documents_read(old) <= documents_read(young) <= 3
