"""The index is rebuilt from the journals: equal to what was there, whatever was done to it, beside writers at work."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from state.errors import CorruptHistory, LedgerUnavailable, OutcomeUnknown
from state.events import OPS_LANE
from state.journal import Journal, Kind, Token
from state.memory import MemoryJournal
from state.rebuild import MAX_FOLDS, rebuild
from state.verify import verify_pipeline
from tests.unit.state.histories import (
    DAY_US,
    PIPELINE,
    Clock,
    attempted,
    dead,
    digests,
    failed,
    finished,
    operator,
    started,
    tell,
    writer,
)
from tests.unit.state.test_verify import history, operated

KINDS: tuple[Kind, ...] = ("batches", "runs", "receipts")


def index(journal: MemoryJournal) -> dict[Kind, dict[str, dict[str, Any]]]:
    return copy.deepcopy({kind: journal._documents(kind) for kind in KINDS})


def whole() -> MemoryJournal:
    """A pipeline with operators, and a lane whose run is still at work."""
    journal = operated()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started("run-2")]], "run-2")
    return journal


def test_a_whole_index_is_left_as_it_is() -> None:
    journal = whole()
    before = index(journal)
    assert rebuild(journal, PIPELINE) == []
    assert index(journal) == before
    assert rebuild(MemoryJournal(), PIPELINE) == []


HARM: dict[str, Callable[[MemoryJournal], object]] = {
    "a status": lambda j: j._batches["b1"].update(status="DEAD_LETTERED"),
    "a count of rows": lambda j: j._batches["b1"].update(rows=2),
    "counts that operators changed": lambda j: j._batches["b1"].update(replays=9, last_actor="bob", ops_version=1),
    "a repair": lambda j: j._batches["b2"].update(repairs={}, open_records=1),
    "a field gone": lambda j: j._batches["b2"].pop("rejected_indexes"),
    "a field too many": lambda j: j._batches["b2"].update(mood="good"),
    "an expiry of what is open": lambda j: j._batches["b2"].update(expire_at_us=9),
    "a run's end": lambda j: j._runs["run-1"].update(status="running", error=None),
    "a run": lambda j: j._runs.clear(),
    "a receipt's outcomes": lambda j: j._receipts["r1"].update(outcomes="S"),
    "all receipts": lambda j: j._receipts.clear(),
    "everything but digests": lambda j: [
        j._batches.update({key: {"row_digests": batch["row_digests"]}}) for key, batch in list(j._batches.items())
    ],
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_rebuilt_index_is_equal_to_what_was_there_with_its_digests(harm: Callable[[MemoryJournal], object]) -> None:
    journal = whole()
    before, entries = index(journal), copy.deepcopy(journal._entries)
    harm(journal)
    assert index(journal) != before
    assert rebuild(journal, PIPELINE) != []
    assert index(journal) == before
    assert journal._entries == entries
    assert rebuild(journal, PIPELINE) == []


def test_a_batch_that_is_gone_is_made_anew_and_only_its_digests_are_lost() -> None:
    journal = whole()
    before = index(journal)
    del journal._batches["b1"]
    assert rebuild(journal, PIPELINE) == ["batch b1: made anew"]
    del before["batches"]["b1"]["row_digests"]
    assert index(journal) == before
    assert verify_pipeline(journal, PIPELINE) == ["lane 0 batch b1: it has no row digests"]


def test_a_document_that_no_journal_tells_of_is_kept() -> None:
    journal = whole()
    journal._batches["f" * 8] = {"batch_id": "f" * 8, "lane": "0", "attempted_version": 2, "attempted_at_us": 5}
    before = index(journal)
    assert rebuild(journal, PIPELINE) == []
    assert index(journal) == before


@pytest.mark.parametrize("lane", ["0", OPS_LANE])
def test_from_a_journal_that_is_not_whole_nothing_is_rebuilt(lane: str) -> None:
    journal = whole()
    del journal._entries[lane][3]
    journal._batches["b1"].update(status="ATTEMPTED")
    before = index(journal)
    with pytest.raises(CorruptHistory, match="no index follows from this"):
        rebuild(journal, PIPELINE)
    assert index(journal) == before


def aged() -> MemoryJournal:
    """A lane whose first run has aged out but for its start; batch 1 of it has an open rejected record."""
    journal = history(Clock(), pause_us=91 * DAY_US)
    for version in (2, 3, 4, 5, 7, 8, 9, 10):
        del journal._entries["0"][version]
    return journal


def test_documents_older_than_the_journals_horizon_are_kept() -> None:
    journal = aged()
    before = index(journal)
    assert rebuild(journal, PIPELINE) == []
    assert index(journal) == before


def test_what_aged_out_is_not_made_anew() -> None:
    clock = Clock()
    journal = history(clock)
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[failed("run-0002")]], "run-0002")
    clock.now_us += 91 * DAY_US
    tell(ledger, [[started("run-3")]], "run-3")
    gone = [key for key, batch in journal._batches.items() if batch.get("expire_at_us")]
    assert gone
    for key in gone:
        del journal._batches[key]
    before = index(journal)
    rebuild(journal, PIPELINE)
    assert index(journal) == before


def half_told() -> MemoryJournal:
    """Only the operators' lane still tells of b2: its attempt and its outcome have aged out."""
    clock = Clock()
    journal = operated(clock)
    clock.now_us += 91 * DAY_US
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started("run-2")], [attempted("b3", 2)], [dead("b3")], [finished("run-2")]], "run-2")
    mine: dict[str, Any] = {"token": "t9", "actor": "eve", "reason": "r"}
    operator(journal, clock=clock).claim_records("b2", {1: digests("x")}, **mine)
    for version in (2, 3, 4):
        del journal._entries["0"][version]
    return journal


@pytest.mark.parametrize("damage", [{"last_actor": "nobody"}, {"expire_at_us": 9}], ids=str)
def test_of_a_batch_older_than_the_horizon_what_is_told_is_mended(damage: dict[str, Any]) -> None:
    journal = half_told()
    before = index(journal)
    journal._batches["b2"].update(damage)
    assert len(rebuild(journal, PIPELINE)) == 1
    assert index(journal) == before


def test_a_batch_of_which_only_the_end_is_told_is_not_made_anew() -> None:
    journal = half_told()
    del journal._batches["b2"]
    before = index(journal)
    assert rebuild(journal, PIPELINE) == []
    assert index(journal) == before


# Writers at work


class Busy:
    """A journal on which somebody writes just before each of the first few mendings."""

    def __init__(self, journal: MemoryJournal, writes: list[Callable[[], object]]) -> None:
        self._journal, self._writes = journal, writes
        self.mendings = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def mend(self, kind: Kind, key: str, fields: Any, *, token: Token | None, gone: Any = ()) -> None:
        self.mendings += 1
        if self._writes:
            self._writes.pop(0)()
        self._journal.mend(kind, key, fields, token=token, gone=gone)


def _busy(journal: MemoryJournal, writes: list[Callable[[], object]]) -> Journal:
    return Busy(journal, writes)


def test_what_a_writer_changed_meanwhile_is_folded_again_and_not_set_back() -> None:
    journal = operated()
    mine: dict[str, Any] = {"token": "t8", "actor": "eve"}
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started("run-2")]], "run-2")
    journal._batches["b2"].update(last_actor="nobody")
    undisturbed = operator(journal)

    def replay() -> None:
        undisturbed.claim("b2", reason="4", **mine)

    rebuild(_busy(journal, [replay]), PIPELINE)
    assert journal._batches["b2"]["status"] == "REPLAYING"
    assert journal._batches["b2"]["last_actor"] == "eve"
    assert verify_pipeline(journal, PIPELINE) == []


def test_a_batch_that_a_run_attempts_meanwhile_is_not_made_a_second_time() -> None:
    journal = whole()
    before = index(journal)
    held = journal._batches.pop("b1")
    rebuild(_busy(journal, [lambda: journal._batches.update(b1=held)]), PIPELINE)
    assert index(journal) == before


def test_a_store_that_is_never_quiet_ends_it_with_one_line() -> None:
    journal = whole()
    journal._batches["b2"].update(last_actor="nobody")

    def touch() -> None:
        journal._batches["b2"] = {**journal._batches["b2"], "last_actor": f"nobody {len(writes)}"}

    writes: list[Callable[[], object]] = [touch] * 99
    with pytest.raises(LedgerUnavailable, match=f"{MAX_FOLDS} times; run it again"):
        rebuild(_busy(journal, writes), PIPELINE)


def test_an_answer_that_was_lost_is_looked_at_again() -> None:
    journal = whole()
    before = index(journal)
    journal._batches["b2"].update(last_actor="nobody")
    lost = [True]

    class Lossy(Busy):
        def mend(self, kind: Kind, key: str, fields: Any, *, token: Token | None, gone: Any = ()) -> None:
            super().mend(kind, key, fields, token=token, gone=gone)
            if lost:
                lost.clear()
                raise OutcomeUnknown("no answer")

    rebuild(Lossy(journal, []), PIPELINE)
    assert index(journal) == before


class Between(Busy):
    """Somebody writes after the first of the two readings, documents and journals, and before the second."""

    def __init__(self, journal: MemoryJournal, write: Callable[[], object]) -> None:
        super().__init__(journal, [])
        self._phases: list[str] = []
        self._write = write

    def __getattr__(self, name: str) -> Any:
        if name in {"read_index", "read_entries"} and name not in self._phases:
            self._phases.append(name)
            if len(self._phases) == 2:
                self._write()
        return super().__getattr__(name)


def test_what_was_written_between_the_two_readings_is_not_set_back() -> None:
    journal = whole()
    other = operator(journal)
    between = Between(journal, lambda: other.claim("b2", token="t8", actor="eve", reason="4"))  # noqa: S106 - as above
    rebuild(between, PIPELINE)
    assert journal._batches["b2"]["status"] == "REPLAYING"
    assert verify_pipeline(journal, PIPELINE) == []
