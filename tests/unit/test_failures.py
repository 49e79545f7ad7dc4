"""What the run does with every kind of answer: set aside, take out, halve, wait, slow down, stop; the books balance."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ingestor.batch import Limits
from ingestor.lognames import LogName
from ingestor.loop import step
from ingestor.outcome import Action, Outcome, RowError, answered, ended
from ingestor.signals import Note, SendBatch, StoreFailed
from state.verify import verify_lane
from tests.world import LANE, PIPELINE, Actor, World, finish

LIMITS = Limits(rows=3, bytes=10_000)
RECORDS: list[Any] = [{"n": number} for number in range(9)]
NEVER = Outcome(Action.BATCH_FAILURE, "INVALID_ARGUMENT", "never")
DENIED = answered(7, "permission denied")
TOO_LARGE = answered(3, "request too large")


def refusing(outcome: Outcome, *numbers: int) -> Callable[[SendBatch], Outcome]:
    """Answer so whenever a request holds one of these records; else append."""
    needles = [f'"n": {number}}}'.encode() for number in numbers]
    return lambda sent: outcome if any(n in row for n in needles for row in sent.rows) else answered(0)


def run(world: World, run_id: str = "run-1", **settings: Any) -> Actor:
    actor = Actor(world, run_id, limits=LIMITS, **settings)
    finish(actor)
    assert actor.state.balanced, actor.state.counts
    assert verify_lane(world.journal, PIPELINE, LANE) == []
    return actor


def test_a_batch_that_is_refused_for_good_is_set_aside_and_the_run_goes_on() -> None:
    world = World([RECORDS])
    world.answer = refusing(NEVER, 4)
    counts = run(world).state.counts
    assert (counts.rows_committed, counts.rows_dead_lettered, counts.batches_dead_lettered) == (6, 3, 1)
    assert world.visible() + world.dead_records() == world.records()


def test_refused_rows_are_taken_out_with_their_originals_and_the_rest_keeps_its_indexes() -> None:
    world = World([RECORDS])

    def answer(sent: SendBatch) -> Outcome:
        bad = [at for at, row in enumerate(sent.rows) if b'"n": 4}' in row or b'"n": 3}' in row]
        return answered(3, row_errors=(RowError(bad[-1], 1, "no"),)) if bad else answered(0)

    world.answer = answer
    actor = run(world)
    assert (actor.state.counts.rows_committed, actor.state.counts.rows_rejected) == (7, 2)
    assert sorted(r["n"] for stages in world.bucket.values() for r in stages["append"]) == [3, 4]
    assert [(index, record["n"]) for _, index, record in world.table] == [(i % 3, i) for i in (0, 1, 2, 5, 6, 7, 8)]


def test_a_request_that_is_too_large_is_halved_until_it_fits() -> None:
    world = World([RECORDS])
    world.answer = lambda sent: TOO_LARGE if len(sent.rows) > 1 else answered(0)
    assert run(world).state.counts.rows_committed == 9


def test_a_row_that_fits_no_request_is_rejected_alone() -> None:
    world = World([RECORDS])
    world.answer = refusing(TOO_LARGE, 4)
    counts = run(world).state.counts
    assert (counts.rows_committed, counts.rows_rejected, counts.rows_dead_lettered) == (8, 1, 0)


def test_permission_lost_sets_aside_what_is_in_flight_and_fails_the_run() -> None:
    world = World([RECORDS] * 5)
    world.answer = lambda _: DENIED
    actor = run(world, max_in_flight=2)
    assert actor.state.status == "failed"
    assert "PERMISSION_DENIED" in str(actor.state.failure)
    assert actor.state.lane.systemic is not None
    assert 1 <= actor.state.counts.batches_dead_lettered <= 6
    assert actor.state.lane.unsettled == ()
    assert world.table == []


def test_a_failure_of_another_kind_keeps_the_systemic_one_open_and_a_finished_run_clears_it() -> None:
    world = World([RECORDS] * 5)
    world.answer = lambda _: DENIED
    run(world)
    world.answer = lambda _: answered(0)
    last = run(world, "run-2")
    assert (last.state.status, last.state.lane.systemic) == ("complete", None)


@pytest.mark.parametrize("code", [10, 13, 14])
def test_tries_are_bounded_and_end_as_the_table_says(code: int) -> None:
    world = World([RECORDS[:3]])
    world.answer = lambda _: answered(code, "again")
    actor = run(world, max_attempts=4)
    assert actor.state.status in {"failed", "complete"}
    assert actor.state.counts.batches_dead_lettered == 1
    assert actor.state.counts.retries == 3


@pytest.mark.parametrize(("code", "tries"), [(9, 3), (16, 2)])
def test_a_connection_lost_for_a_neighbour_s_sake_neither_counts_nor_starts_the_counting_anew(
    code: int, tries: int
) -> None:
    world, given = World([RECORDS]), Counter[str]()

    def answer(sent: SendBatch) -> Outcome:
        given[sent.batch.batch_id] += 1
        return answered(code, "again")

    world.answer = answer
    actor = Actor(world, "run-1", limits=LIMITS, max_in_flight=3, max_attempts=100)
    finish(actor, lambda choices: "append" if given.total() % 2 and "append" in choices else choices[-1])
    assert actor.state.status == "failed"
    assert max(given.values()) == tries


def test_nothing_is_sent_on_a_connection_that_is_being_ended() -> None:
    world = World([RECORDS])
    world.answer = lambda _: answered(9, "again")
    actor = Actor(world, "run-1", limits=LIMITS, max_in_flight=1)
    while not actor.cut:
        actor.do(actor.choices()[0]) if actor.choices() else actor.wait()
    world.answer = lambda _: answered(0)
    while actor.choices() != ["end"]:
        actor.do(next(c for c in actor.choices() if c != "end"))
    assert not actor.sent
    actor.do("end")
    assert len(actor.sent) == 1
    assert finish(actor).unsettled == ()


def test_quota_halves_the_window_and_success_opens_it_one_by_one() -> None:
    world = World([RECORDS * 4])
    slow = iter([True, True])
    world.answer = lambda _: answered(8, "throughput quota exceeded") if next(slow, False) else answered(0)
    actor = Actor(world, "run-1", limits=LIMITS, max_in_flight=8)
    windows = [actor.state.window]
    while not actor.over:
        choices = actor.choices()
        actor.do(choices[0]) if choices else actor.wait()
        windows.append(actor.state.window)
    assert min(windows) == 2
    assert windows[-1] == 8
    assert actor.state.counts.rows_committed == 36


def test_a_table_that_is_not_known_yet_is_waited_for() -> None:
    world = World([RECORDS[:3]])
    unknown = iter([True] * 20)
    world.answer = lambda _: answered(5, "table", storage_error=1) if next(unknown, False) else answered(0)
    actor = run(world, max_attempts=2)
    assert (actor.state.status, actor.state.counts.rows_committed) == ("complete", 3)


def test_a_table_that_is_gone_stops_the_run() -> None:
    world = World([RECORDS[:3]], table_exists=False)
    world.answer = lambda _: answered(5, "table", storage_error=1)
    actor = run(world)
    assert (actor.state.status, actor.state.counts.batches_dead_lettered) == ("failed", 1)


def test_the_fuse_stops_a_run_whose_batches_are_refused_in_a_row() -> None:
    world = World([RECORDS * 40])
    world.answer = lambda _: NEVER
    actor = run(world, fuse=(5, 1.0), max_in_flight=2)
    assert "the fuse blew" in str(actor.state.failure)
    assert 6 <= len(world.dead) <= 6 + 2 * 2 + 2


def test_the_fuse_stops_a_run_whose_records_are_rejected_too_often() -> None:
    world = World([[{"n": 1}] * 1200 + [{"n": 1, "bad": 1}] * 2000])
    actor = Actor(world, "run-1", limits=Limits(100, 10**6), fuse=(10**6, 0.2))
    finish(actor)
    assert "the fuse blew" in str(actor.state.failure)
    assert actor.state.counts.rows_rejected < 1000


def test_a_bucket_that_fails_fails_the_run_and_leaves_the_batch_in_doubt() -> None:
    world = World([RECORDS[:3]])
    world.answer = lambda _: NEVER
    actor = Actor(world, "run-1", limits=LIMITS)
    while "store" not in actor.choices():
        actor.do(actor.choices()[0])
    actor.stores.clear()
    lost = StoreFailed("any", "the bucket is away")
    _, commands = step(actor.state, lost, world.instant())
    assert Note(LogName.DEADLETTER_FAILED, "ERROR", {"batch_id": "any", "error": "the bucket is away"}) in commands
    actor.hear(lost)
    finish(actor)
    assert (actor.state.status, actor.state.failure) == ("failed", "the bucket is away")
    assert len(actor.state.lane.unsettled) == 1
    world.answer = lambda _: answered(0)
    assert run(world, "run-2").state.counts.rows_committed == 3


def test_what_was_sent_when_the_call_ended_for_good_is_set_aside_though_it_may_have_landed() -> None:
    world = World([RECORDS[:3]])
    actor = Actor(world, "run-1", limits=LIMITS)
    actor.do("page")
    actor.do("write")
    for sent in actor.sent:
        actor.world.answer(sent)
    actor.lose_connection(applied=1, outcome=ended(7, "denied"))
    finish(actor)
    assert actor.state.counts.batches_dead_lettered == 1
    assert world.visible().total() == 0
    assert world.dead_records() == world.records()
