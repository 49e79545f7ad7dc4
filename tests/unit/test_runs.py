"""A run in full, as the ledger tells it."""

from typing import Any

import pytest

from ingestor import runs
from ingestor.runs import newest_batches, shown
from state.journal import BatchQuery
from state.ledger import LaneLedger
from state.memory import MemoryJournal
from tests.unit.state.histories import (
    Clock,
    attempted,
    committed,
    finished,
    heartbeat,
    paused,
    resumed,
    started,
    tell,
    writer,
)


class Asked(MemoryJournal):
    """A journal that notes which of its lists were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.snapshots = 0

    def read_snapshot(self, lane: str) -> Any:
        self.snapshots += 1
        return super().read_snapshot(lane)

    def list_batches(self, query: Any = None, *, limit: int = 100) -> Any:
        self.asked.append("list")
        return super().list_batches(query or BatchQuery(), limit=limit)

    def read_versions(self, lane: str, versions: Any) -> Any:
        self.asked.append(f"{len(versions)} versions")
        return super().read_versions(lane, versions)

    def read_batches(self, batch_ids: Any) -> Any:
        self.asked.append(f"{len(batch_ids)} batches")
        return super().read_batches(batch_ids)


def told(journal: MemoryJournal, clock: Clock | None = None) -> LaneLedger:
    ledger = writer(journal, clock=clock)
    ledger.open()
    return ledger


def run_of(journal: MemoryJournal, run_id: str = "run-1") -> Any:
    run = journal.read_run(run_id)
    assert run is not None
    return run


def test_a_run_is_shown_with_the_batches_that_it_attempted_and_no_others() -> None:
    journal = MemoryJournal()
    tell(told(journal), [[started()], [attempted("b1")], [committed("b1")]])
    found = shown(journal, "run-1")
    assert found is not None
    assert found["run"]["run_id"] == "run-1"
    assert [batch["batch_id"] for batch in found["batches"]] == ["b1"]
    assert found["more_batches"] is False
    assert shown(journal, "run-2") is None


@pytest.mark.parametrize("is_over", [False, True])
def test_of_a_run_with_many_batches_the_newest_are_shown_and_that_there_are_more(*, is_over: bool) -> None:
    journal = MemoryJournal()
    ledger = told(journal)
    tell(ledger, [[started()], [attempted(f"b{at}", at) for at in range(3)]])
    if is_over:
        tell(ledger, [[finished()]])
    found = shown(journal, "run-1", limit=2)
    assert found is not None
    assert (len(found["batches"]), found["more_batches"]) == (2, True)
    whole = shown(journal, "run-1", limit=3)
    assert whole is not None
    assert (len(whole["batches"]), whole["more_batches"]) == (3, False)


def test_of_a_run_that_ended_its_entries_name_the_batches_and_no_list_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "WINDOW", 4)
    clock, journal = Clock(), Asked()
    ledger = told(journal, clock)
    for number, run_id in enumerate(("run-1", "run-2", "run-3")):
        tell(ledger, [[started(run_id)]], run_id)
        for at in range(4):
            clock.now_us += 7
            first = 8 * number + 2 * at
            pair = [f"{run_id}-{at}-{each}" for each in "ab"]
            tell(ledger, [[attempted(key, first + each) for each, key in enumerate(pair)]], run_id)
            tell(ledger, [[committed(key) for key in pair]], run_id)
        tell(ledger, [[finished(run_id)]], run_id)
    for limit in range(1, 10):
        journal.asked.clear()
        found = newest_batches(journal, run_of(journal, "run-2"), limit)
        assert "list" not in journal.asked
        assert found == journal.list_batches(BatchQuery(run="run-2"), limit=limit)
    journal.asked.clear()
    newest_batches(journal, run_of(journal, "run-2"), 3)
    assert journal.asked == ["4 versions", "4 versions", "3 batches"]


def _over(journal: MemoryJournal) -> LaneLedger:
    ledger = told(journal)
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [committed("b1"), committed("b2")], [finished()]])
    return ledger


@pytest.mark.parametrize(
    "harm",
    [
        lambda journal: journal._entries["0"].pop(2),
        lambda journal: journal._batches.pop("b1"),
        lambda journal: journal._runs["run-1"].pop("started_version"),
    ],
    ids=["an entry aged out", "a batch aged out", "a run whose start nobody told"],
)
def test_where_the_entries_do_not_tell_all_the_list_is_asked(harm: Any) -> None:
    journal = Asked()
    _over(journal)
    harm(journal)
    found = newest_batches(journal, run_of(journal), 9)
    assert journal.asked[-1] == "list"
    assert found == journal.list_batches(BatchQuery(run="run-1"), limit=9)


def test_of_a_run_at_work_the_newest_entries_name_the_batches() -> None:
    journal = Asked()
    ledger = told(journal)
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [committed("b1")], [attempted("b3", 2)]])
    found = newest_batches(journal, run_of(journal), 9)
    assert [(batch["batch_id"], batch["status"]) for batch in found] == [
        ("b3", "ATTEMPTED"),
        ("b2", "ATTEMPTED"),
        ("b1", "COMMITTED"),
    ]
    assert "list" not in journal.asked


def test_the_next_run_s_batches_are_not_this_one_s() -> None:
    journal = Asked()
    ledger = told(journal)
    tell(ledger, [[started()], [attempted("b1")], [committed("b1")]])
    run = run_of(journal)  # read before it ended
    tell(ledger, [[finished()]])
    tell(ledger, [[started("run-2")], [attempted("b2", 1)]], "run-2")
    assert [batch["batch_id"] for batch in newest_batches(journal, run, 9)] == ["b1"]


def test_a_run_without_batches_has_none_and_no_list_is_asked() -> None:
    journal = Asked()
    tell(told(journal), [[started()], [finished()]])
    assert list(newest_batches(journal, run_of(journal), 9)) == []
    assert "list" not in journal.asked


def test_a_run_that_mostly_waited_is_not_read_to_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "WINDOW", 2)
    monkeypatch.setattr(runs, "MOST_WINDOWS", 3)
    journal = Asked()
    ledger = told(journal)
    tell(ledger, [[started()], [attempted("b1")], [committed("b1")], *[[heartbeat()]] * 6, [finished()]])
    assert [batch["batch_id"] for batch in newest_batches(journal, run_of(journal), 9)] == ["b1"]
    assert journal.asked == ["2 versions"] * 3 + ["list"]


def test_what_a_person_did_meanwhile_is_passed_over() -> None:
    journal = Asked()
    ledger = told(journal)
    tell(ledger, [[started()], [attempted("b1")], [committed("b1")]])
    tell(ledger, [[paused()], [resumed()]], "")
    run = {**run_of(journal), "finished_version": ledger.state.version}
    assert [batch["batch_id"] for batch in newest_batches(journal, run, 9)] == ["b1"]
    assert "list" not in journal.asked
