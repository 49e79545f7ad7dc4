import dataclasses
import math
from typing import Any

import pytest

from state.errors import CorruptHistory, LedgerUnavailable, OutcomeUnknown, VersionConflict
from state.events import Event
from state.journal import Journal
from state.ledger import LaneLedger
from state.memory import MemoryJournal
from state.reading import PAGE_ENTRIES
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    T0_US,
    Clock,
    attempted,
    committed,
    failed,
    finished,
    heartbeat,
    landed,
    paused,
    published,
    resumed,
    started,
    tell,
    whole_run,
    writer,
)


def opened(journal: Journal, **fields: Any) -> LaneLedger:
    ledger = writer(journal, **fields)
    ledger.open()
    return ledger


def test_a_lane_nobody_wrote_to_is_empty_and_not_live() -> None:
    found = writer(MemoryJournal()).open()
    assert (found.state.version, found.run_age_s, found.entries_read) == (0, None, 0)
    assert not found.is_live(180)


def test_a_writer_that_was_not_opened_writes_nothing() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        landed(writer(MemoryJournal()), [started()])


@pytest.mark.parametrize(
    ("entries", "age_s", "is_live"),
    [
        ([[started()]], 179, True),
        ([[started()]], 181, False),
        ([[started()], [heartbeat()]], 179, True),
        ([[started()], [finished()]], 1, False),
        ([[started()], [failed()]], 1, False),
    ],
    ids=["young", "stale", "heartbeat", "finished", "failed"],
)
def test_a_run_is_live_while_open_and_young_by_the_servers_clock(
    entries: list[list[Event]], age_s: int, *, is_live: bool
) -> None:
    clock = Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    tell(opened(journal, clock=Clock(0)), entries)
    clock.sleep(age_s)
    found = writer(journal).open()
    assert found.run_age_s == pytest.approx(age_s)
    assert found.is_live(180) is is_live


def test_what_a_person_writes_does_not_keep_a_run_alive() -> None:
    clock = Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = opened(journal)
    tell(ledger, [[started()]])
    clock.sleep(200)
    for _ in range(3):
        ledger.append([published(0)], run_id="")
    assert writer(journal).open().run_age_s == pytest.approx(200)


def test_the_newest_run_entry_below_the_snapshot_is_read_alone() -> None:
    clock = Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = opened(journal)
    tell(ledger, [[started()], [heartbeat()]])
    clock.sleep(5)
    ledger.append([published(0), finished()], run_id="")
    found = writer(journal).open()
    assert found.run_age_s == pytest.approx(5)
    assert (found.state.run_version, found.entries_read) == (2, 2)


def test_a_run_whose_newest_entry_aged_out_is_infinitely_old() -> None:
    journal = MemoryJournal()
    tell(opened(journal), [[started()]])
    del journal._entries[LANE][1]
    found = writer(journal).open()
    assert found.state.run_open
    assert found.run_age_s == math.inf
    assert not found.is_live(10**9)


def test_a_tail_longer_than_a_page_is_read_whole() -> None:
    journal = MemoryJournal()
    last = tell(opened(journal), [[started()], *([heartbeat()] for _ in range(2 * PAGE_ENTRIES))])
    found = writer(journal).open()
    assert found.state == last
    assert found.entries_read == 2 * PAGE_ENTRIES + 1


@pytest.mark.parametrize("version", range(1, 6))
def test_the_state_folded_from_the_snapshot_is_the_state_the_writer_had(version: int) -> None:
    journal = MemoryJournal()
    state = tell(opened(journal), whole_run(0)[:version])
    assert writer(journal).open().state == state


def test_the_snapshot_is_written_when_a_run_starts_or_ends_or_a_person_pauses_and_only_then() -> None:
    journal = MemoryJournal()
    ledger = opened(journal)
    versions = []
    entries: list[list[Event]] = [*whole_run(0), [started("b")], [heartbeat("b"), failed("b")], [paused()], [resumed()]]
    for events in entries:
        landed(ledger, events)
        snapshot = journal.read_snapshot(LANE)
        versions.append(snapshot.version if snapshot else 0)
    assert versions == [1, 1, 1, 1, 5, 6, 7, 8, 9]


def test_entries_expire_after_the_retention_but_those_that_start_a_run_or_pause_never() -> None:
    expiries = []

    class Watching(MemoryJournal):
        def commit(self, commit: Any) -> Any:
            expiries.append(commit.expire_at_us)
            return super().commit(commit)

    tell(opened(Watching()), [[started()], [attempted("b1")], [committed("b1"), finished()], [paused()], [resumed()]])
    assert expiries == [None, T0_US + 90 * DAY_US, T0_US + 90 * DAY_US, None, None]


def test_documents_written_are_counted() -> None:
    ledger = opened(MemoryJournal())
    assert [landed(ledger, events).writes for events in whole_run(0)] == [3, 3, 3, 1, 3]


@pytest.mark.parametrize(
    ("events", "error"),
    [([committed("b9")], CorruptHistory), ([], ValueError), ([heartbeat("\ud800")], ValueError)],
    ids=["cannot follow", "no events", "cannot be stored"],
)
def test_what_cannot_be_is_stopped_before_anything_is_written(events: list[Event], error: type[Exception]) -> None:
    journal = MemoryJournal()
    ledger = opened(journal)
    tell(ledger, [[started()]])
    with pytest.raises(error):
        landed(ledger, events)
    assert journal.read_entry(LANE, 2) is None
    assert landed(ledger, [finished()]).version == 2


def test_after_a_conflict_the_writer_refolds_and_goes_on() -> None:
    journal = MemoryJournal()
    one, other = opened(journal), opened(journal)
    landed(one, [started()])
    with pytest.raises(VersionConflict):
        landed(other, [started("run-2")])
    assert other.refold().state.run_id == "run-1"
    assert landed(other, [started("run-2", takeover=True)], "run-2").version == 2


def test_a_snapshot_of_a_higher_version_is_never_replaced() -> None:
    journal = MemoryJournal()
    ledger = opened(journal)
    landed(ledger, [started()])
    other = opened(journal)
    landed(other, [finished()])
    del journal._entries[LANE][2]
    ledger._is_token_known = False
    with pytest.raises(VersionConflict, match="open it again"):
        landed(ledger, [finished()])


@pytest.mark.parametrize(
    ("version", "change", "message"),
    [
        (2, {"nonce": "forged"}, "version 2: its hash"),
        (3, {"events": ()}, "version 3: its hash"),
        (2, None, "version 3: the entry before it is missing"),
    ],
    ids=["altered", "emptied", "missing"],
)
def test_a_broken_chain_stops_the_opening(version: int, change: dict[str, Any] | None, message: str) -> None:
    journal = MemoryJournal()
    tell(opened(journal), whole_run(0)[:4])
    entry, created = journal._entries[LANE].pop(version)
    if change is not None:
        journal._entries[LANE][version] = (dataclasses.replace(entry, **change), created)
    with pytest.raises(CorruptHistory, match=message):
        writer(journal).open()


def test_an_entry_of_another_lane_does_not_fit_the_chain() -> None:
    journal, foreign = MemoryJournal(), MemoryJournal()
    tell(opened(journal), whole_run(0)[:3])
    tell(opened(foreign, pipeline="other"), whole_run(0)[:3])
    journal._entries[LANE][2] = foreign._entries[LANE][2]
    with pytest.raises(CorruptHistory, match="version 2: it does not follow"):
        writer(journal).open()


def test_an_entry_other_than_the_one_in_the_snapshot_stops_the_opening() -> None:
    journal, foreign = MemoryJournal(), MemoryJournal()
    tell(opened(journal), [[started()]])
    tell(opened(foreign), [[started("run-2")]])
    journal._entries[LANE][1] = foreign._entries[LANE][1]
    with pytest.raises(CorruptHistory, match="folded from another entry"):
        writer(journal).open()


def test_slow_silence_ends_as_soon_as_fast_silence() -> None:
    clock, tries = Clock(), []

    class Silent(MemoryJournal):
        def commit(self, commit: Any) -> Any:
            tries.append(commit.entry.version)
            clock.now_us += 10_000_000
            raise OutcomeUnknown("no answer within 10 s")

    with pytest.raises(LedgerUnavailable, match="no answer to the commit of version 1 within 15 s"):
        landed(opened(Silent(), clock=clock), [started()])
    assert tries == [1, 1]
