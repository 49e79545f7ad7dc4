import dataclasses
from collections.abc import Sequence

import pytest

from state.codec import decode_state, encode_state
from state.errors import CorruptHistory
from state.events import Event, Position
from state.fold import LaneState, Moment, Statement, Systemic, fold
from tests.unit.state.histories import (
    T0_US,
    attempted,
    checkpoint_set,
    committed,
    dead,
    digests,
    discarded,
    failed,
    finished,
    heartbeat,
    not_replayed,
    paused,
    published,
    receipt_closed,
    receipt_opened,
    records_discarded,
    records_replayed,
    reopened,
    replay,
    replayed,
    resumed,
    started,
    superseded,
)


def folded(*entries: Sequence[Event], run_id: str = "run-1") -> LaneState:
    state = LaneState()
    for version, events in enumerate(entries, start=1):
        state = fold(state, events, Moment(version, run_id, T0_US), f"hash-{version}")
    return state


def test_a_batch_is_in_doubt_from_its_attempt_to_its_outcome() -> None:
    state = folded([started()], [attempted("b1"), attempted("b2", 1)], [committed("b1")])
    assert [batch.batch_id for batch in state.unsettled] == ["b2"]
    assert state.checkpoint == Position("page-1")


def test_superseding_moves_the_epoch_and_not_the_checkpoint() -> None:
    state = folded([started()], [attempted("b1")], [committed("b1"), attempted("b2", 1)], [superseded("b2")])
    assert (state.epoch, state.checkpoint, state.unsettled) == (4, Position("page-1"), ())
    assert state.outbox[1] == Statement("b2", "SUPERSEDED", 0, 4, "run-1", T0_US)


def test_a_dead_letter_settles_its_batch_and_states_nothing() -> None:
    state = folded([attempted("b1"), attempted("b2", 1)], [dead("b1")])
    assert [batch.batch_id for batch in state.unsettled] == ["b2"]
    assert (state.checkpoint, state.outbox, state.systemic) == (Position("page-1"), (), None)


SYSTEMIC = Systemic("INVALID_ARGUMENT", "field carrier is missing", "f1", "run-1", 2, T0_US)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([], SYSTEMIC),
        ([[attempted("b2", 1)], [dead("b2", kind="systemic")]], SYSTEMIC),
        ([[failed()]], SYSTEMIC),
        ([[failed()], [started("run-2")]], SYSTEMIC),
        ([[finished()]], None),
    ],
    ids=["alone", "the first stays", "a failed run keeps it", "a start keeps it", "a finished run clears it"],
)
def test_a_systemic_failure_is_open_until_a_run_finishes(later: list[list[Event]], expected: Systemic | None) -> None:
    assert folded([started(), attempted("b1")], [dead("b1", kind="systemic")], *later).systemic == expected


def test_a_lane_is_paused_until_it_is_resumed() -> None:
    state = folded([paused()])
    assert (state.paused, state.pause_reason) == (True, "the source is being moved")
    assert folded([paused()], [resumed()]).paused is False
    assert folded([paused()], [resumed()]).pause_reason == ""


def test_the_operators_state_what_became_visible_or_was_closed() -> None:
    events: list[Event] = [replay("b1"), replayed("b1"), discarded("b2"), reopened("b2"), not_replayed("b3")]
    quiet: list[Event] = [records_replayed("b1", "t", 0), records_discarded("b1", 1), receipt_opened("r", "b1")]
    state = folded([*events, *quiet, receipt_closed("r")], run_id="")
    assert state.outbox == (
        Statement("b1", "COMMITTED", 3, 1, "", T0_US),
        Statement("b2", "DISCARDED", 0, 1, "", T0_US),
    )


def test_statements_leave_the_outbox_only_when_acknowledged() -> None:
    entries: list[list[Event]] = [[attempted("b1"), attempted("b2", 1)], [committed("b1")], [committed("b2")]]
    assert [statement.version for statement in folded(*entries).outbox] == [2, 3]
    assert [statement.version for statement in folded(*entries, [published(2)]).outbox] == [3]
    assert folded(*entries, [published(3)]).outbox == ()


@pytest.mark.parametrize(
    ("events", "is_open"), [([started()], True), ([started(), finished()], False), ([started(), failed()], False)]
)
def test_a_run_is_open_until_it_finished_or_failed(events: list[Event], *, is_open: bool) -> None:
    assert folded(events).run_open is is_open


def test_only_what_a_run_wrote_counts_for_its_age() -> None:
    state = fold(folded([started()], [heartbeat()]), [published(1)], Moment(3, "", T0_US), "h")
    assert (state.version, state.run_version) == (3, 2)


ENDS_INSIDE = dataclasses.replace(attempted("b2", 1), end=Position("page-1", 2), tail=digests("a", "b"))


def test_the_boundary_grows_within_a_page_and_is_new_on_the_next() -> None:
    more = dataclasses.replace(ENDS_INSIDE, batch_id="b3", end=Position("page-1", 3), tail=digests("c"))
    other = dataclasses.replace(ENDS_INSIDE, batch_id="b4", end=Position("page-2", 1), tail=digests("d"))
    whole = attempted("b5", 2)
    history: list[Sequence[Event]] = []
    boundaries = []
    for batch in (ENDS_INSIDE, more, other, whole):
        history += [[batch], [committed(batch.batch_id)]]
        boundaries.append(folded(*history).boundary)
    assert boundaries == [digests("a", "b"), digests("a", "b", "c"), digests("d"), b""]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([[committed("b1")]], "the first unsettled batch is none"),
        ([[superseded("b1")]], "the first unsettled batch is none"),
        ([[dead("b1")]], "the first unsettled batch is none"),
        ([[attempted("b1"), attempted("b2", 1)], [superseded("b1"), dead("b2")]], "the lane is in epoch 2"),
        ([[attempted("b1"), attempted("b2", 1)], [committed("b2")]], "the first unsettled batch is b1"),
        ([[attempted("b1"), attempted("b2", 1)], [superseded("b2")]], "the first unsettled batch is b1"),
        ([[attempted("b1"), attempted("b1")]], "attempted twice"),
        ([[attempted("b1", epoch=3)]], "attempted in epoch 3, but the lane is in epoch 0"),
        ([[attempted("b1"), attempted("b2", 1)], [superseded("b1"), committed("b2")]], "the lane is in epoch 2"),
        ([[dataclasses.replace(ENDS_INSIDE, tail=digests("a"))], [committed("b2")]], "2 records of a page, 16 digest"),
        ([[attempted("b1")], [checkpoint_set()]], "the checkpoint is set, but batch b1 is in doubt"),
    ],
    ids=[
        "commits nothing",
        "supersedes nothing",
        "dead-letters nothing",
        "dead-letters over a superseded one",
        "commits out of order",
        "supersedes out of order",
        "attempts twice",
        "attempts in another epoch",
        "commits over a superseded one",
        "ends without its digests",
        "moves the checkpoint over what is in doubt",
    ],
)
def test_a_history_that_cannot_be_is_refused(entries: list[list[Event]], message: str) -> None:
    with pytest.raises(CorruptHistory, match=message):
        folded(*entries)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_an_entry_out_of_sequence_is_refused(version: int) -> None:
    with pytest.raises(CorruptHistory, match=f"entry {version} follows entry 1"):
        fold(folded([started()]), [heartbeat()], Moment(version, "r", T0_US), "h")


def test_a_backfills_range_is_known_after_its_run_and_a_lane_that_follows_its_source_has_none() -> None:
    plain = folded([started()])
    assert (plain.range_from, plain.range_to, plain.range_partition) == ("", "", 0)
    ranged = folded([dataclasses.replace(started(), range_from="a", range_to="b", range_partition=3)], [finished()])
    assert (ranged.range_from, ranged.range_to, ranged.range_partition) == ("a", "b", 3)
    assert decode_state(encode_state(ranged)) == ranged
