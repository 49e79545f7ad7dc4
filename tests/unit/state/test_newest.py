"""The batches attempted last, as a lane's state names them: those that a list by time of attempt begins with."""

import random
from typing import Any

import pytest

from state.codec import encode_state
from state.events import Event
from state.fold import NEWEST, LaneState, Moment, fold
from state.journal import BatchQuery, from_page_key, page_key
from state.memory import MemoryJournal
from state.verify import verify_pipeline
from tests.unit.state.histories import (
    LANE,
    PIPELINE,
    T0_US,
    Clock,
    attempted,
    checkpoint_set,
    committed,
    started,
    superseded,
    tell,
    writer,
)


def _named(state: LaneState) -> list[str]:
    return [from_page_key(key)[1] for key in state.newest]


def _listed(journal: MemoryJournal) -> list[str]:
    return [batch["batch_id"] for batch in journal.list_batches(BatchQuery(lane=LANE), limit=NEWEST)]


@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_that_the_list_begins_with_whatever_the_clocks_say(seed: int) -> None:
    chance, clock, journal = random.Random(seed), Clock(), MemoryJournal()  # noqa: S311 - a schedule, no secret
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started()]])
    for number in range(NEWEST + 20):
        clock.now_us = T0_US + chance.randrange(1_000)
        key = f"{chance.randrange(16**8):08x}"
        tell(ledger, [[attempted(key, number)], [committed(key)]])
        assert _named(ledger.state) == _listed(journal)
    assert len(ledger.state.newest) == NEWEST


def test_batches_of_one_entry_come_by_id() -> None:
    events: list[Event] = [started(), *(attempted(f"b{number:02}", number) for number in range(NEWEST + 5))]
    state = fold(LaneState(), events, Moment(1, "run-1", T0_US), "h1")
    assert _named(state) == [f"b{number:02}" for number in range(NEWEST + 4, 4, -1)]


def test_a_batch_that_is_attempted_again_is_named_once_and_by_its_last_time() -> None:
    journal, clock = MemoryJournal(), Clock()
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1")], [committed("b1")], [attempted("b2", 1)], [committed("b2")]])
    clock.now_us += 5
    tell(ledger, [[checkpoint_set("page-9")]], "")
    tell(ledger, [[started("run-2")], [attempted("b1")]], "run-2")
    assert ledger.state.newest == (page_key(T0_US + 5, "b1"), page_key(T0_US, "b2"))
    assert _named(ledger.state) == _listed(journal)


def test_what_became_of_a_batch_changes_nothing_of_it() -> None:
    ledger = writer(MemoryJournal())
    ledger.open()
    before = tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)]]).newest
    assert tell(ledger, [[superseded("b1"), superseded("b2")]]).newest == before


def _snapshot(journal: MemoryJournal, newest: tuple[str, ...] | None) -> None:
    held = journal._snapshots[LANE]
    fields: dict[str, Any] = {name: value for name, value in held.document.items() if name != "newest"}
    document = fields if newest is None else {**fields, "newest": list(newest)}
    journal._snapshots[LANE] = type(held)(held.version, document, held.token)


def test_a_lane_that_older_code_began_names_fewer_and_is_whole_all_the_same() -> None:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [committed("b1")], [started("run-2")]])
    held = ledger.state.newest
    for fewer in (None, (), held[:1]):
        _snapshot(journal, fewer)
        assert verify_pipeline(journal, PIPELINE) == []
    for wrong in (held[1:], held[::-1], (*held, page_key(1, "b0"))):
        _snapshot(journal, wrong)
        assert verify_pipeline(journal, PIPELINE) == ["lane 0 version 4: the snapshot differs from the fold in newest"]


def test_their_part_of_a_snapshot_is_small() -> None:
    keys = tuple(page_key(T0_US, "ab" * 16) for _ in range(NEWEST))
    assert sum(map(len, encode_state(LaneState(newest=keys))["newest"])) < 3_000
