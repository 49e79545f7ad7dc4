"""Histories that once broke a design like this one, each by name, through the real loop and ledger.

Where each of the six stands that a model check of an earlier design found:

- statements lost at a new run's start: `test_statements_that_a_dead_run_did_not_publish_are_published_by_the_next`;
- an undrained outbox of `ops`: `test_taking.py` (of a paused lane) and `test_replay.py`;
- a dead letter above the checkpoint replayed and then superseded: it cannot come about,
  `test_a_dead_letter_is_never_settled_before_a_batch_below`; of a lane that is recovered, `test_lanes_by_people.py`;
- a superseded id coming back with a late append: `test_a_superseded_batch_never_comes_back_under_its_id`;
- rejected records overwritten under one name: `tests/contract/test_dead_letters.py`;
- a lane idle beyond its retention: `test_lanes_by_people.py`.
"""

from typing import Any

from ingestor.batch import Limits
from ingestor.outcome import Action, Outcome
from ingestor.signals import Answered, StopAsked
from state.events import BatchDeadLettered
from state.fold import LaneState
from state.verify import verify_lane
from tests.world import LANE, PIPELINE, Actor, World, finish

LIMITS = Limits(rows=2, bytes=10_000)
RECORDS: list[Any] = [{"n": 1}, {"n": 2}, {"n": 3}]


def begin_and_die(world: World, run_id: str, *choices: str) -> Actor:
    """Start a run, let these effects happen, and leave it there for good."""
    actor = Actor(world, run_id, limits=LIMITS)
    for choice in choices:
        actor.do(choice)
    return actor


def ends_right(world: World, run_id: str) -> LaneState:
    """Run to the end; every record is visible once, every batch under one time, the ledger whole."""
    actor = Actor(world, run_id, limits=LIMITS)
    lane = finish(actor)
    assert (actor.state.status, actor.state.balanced) == ("complete", True)
    assert world.visible() + world.set_aside() == world.records()
    assert all(len(times) == 1 for times in world.times.values())
    assert verify_lane(world.journal, PIPELINE, LANE) == []
    return lane


def test_a_batch_in_doubt_is_appended_again_with_its_first_ingest_time() -> None:
    world = World([RECORDS])
    late = begin_and_die(world, "run-1", "page", "write").zombie_appends()
    world.seconds += 3600
    ends_right(world, "run-2")
    late()
    assert world.visible() == world.records()
    assert all(len(times) == 1 for times in world.times.values())


def test_statements_that_a_dead_run_did_not_publish_are_published_by_the_next() -> None:
    world = World([RECORDS[:2]])
    begin_and_die(world, "run-1", "page", "write", "append", "write")
    assert world.statements == []
    assert ends_right(world, "run-2").outbox == ()


def test_a_source_that_shrank_to_nothing_supersedes_what_is_in_doubt() -> None:
    world = World([RECORDS])
    late = begin_and_die(world, "run-1", "page", "write").zombie_appends()
    world.pages = [[]]
    lane = ends_right(world, "run-2")
    late()
    assert (lane.unsettled, world.visible().total()) == ((), 0)


def test_a_source_that_lost_its_last_record_supersedes_only_what_differs() -> None:
    world = World([[*RECORDS, {"n": 4}]])
    begin_and_die(world, "run-1", "page", "write", "append", "write", "write")
    world.pages = [RECORDS]
    assert ends_right(world, "run-2").epoch > 0


def test_a_superseded_batch_never_comes_back_under_its_id() -> None:
    world = World([RECORDS[:2]])
    late = begin_and_die(world, "run-1", "page", "write").zombie_appends()
    world.pages = [[{"n": 7}, {"n": 8}]]
    second = Actor(world, "run-2", limits=LIMITS)
    second.do("page")
    second.do("write")
    assert second.state.lane.epoch > 0
    world.pages = [RECORDS[:2]]
    world.seconds += 60
    ends_right(world, "run-3")
    late()
    assert world.visible() == world.records()
    assert all(len(times) == 1 for times in world.times.values())


def test_a_zombie_stops_at_its_next_ledger_write_and_its_rows_stay_hidden() -> None:
    world = World([RECORDS])
    zombie = begin_and_die(world, "run-1", "page", "write")
    ends_right(world, "run-2")
    while zombie.choices():
        zombie.do(zombie.choices()[0])
    assert zombie.over
    assert zombie.state.status == "failed"
    assert "another run took over" in str(zombie.state.failure)
    assert world.visible() == world.records()


def test_a_run_that_stalled_longer_than_its_lease_starts_no_append() -> None:
    world = World([RECORDS])
    actor = Actor(world, "run-1", limits=LIMITS)
    actor.do("page")
    stalled_s = actor.settings.stale_s - actor.settings.append_timeout_s - actor.settings.commit_timeout_s
    world.seconds += stalled_s + 1
    actor.do("write")
    assert actor.choices() == ["write"]
    actor.do("write")
    assert "append" in actor.choices()


def test_an_answer_that_never_comes_ends_the_connection_once() -> None:
    world = World([RECORDS[:2]])
    actor = begin_and_die(world, "run-1", "page", "write")
    while not actor.cut:
        actor.wait()
    actor.lose_connection(applied=1)
    assert "append" in actor.choices()
    finish(actor)
    assert world.visible() == world.records()


def test_a_run_that_waits_long_writes_heartbeats() -> None:
    world = World([RECORDS[:2]])
    actor = begin_and_die(world, "run-1")
    while "write" not in actor.choices():
        actor.wait()
    assert world.seconds <= actor.settings.stale_s / 6 + 1
    finish(actor)


def test_the_deadline_ends_a_run_as_partial_with_what_is_in_flight_settled() -> None:
    world = World([RECORDS, RECORDS])
    actor = begin_and_die(world, "run-1", "page", "write")
    world.seconds += 481
    finish(actor, lambda choices: choices[-1])
    assert (actor.state.status, actor.state.rows_in_doubt) == ("partial", 0)
    ends_right(world, "run-2")


def test_a_run_that_is_asked_to_stop_reads_no_more_and_settles_what_is_in_flight() -> None:
    world = World([RECORDS, RECORDS])
    actor = begin_and_die(world, "run-1", "page", "write")
    read = actor.state.counts.pages
    actor.hear(StopAsked("SIGTERM", 7.0))
    finish(actor, lambda choices: choices[-1])
    assert (actor.state.status, actor.state.stop, actor.state.rows_in_doubt) == ("partial", "SIGTERM", 0)
    assert actor.state.counts.pages == read
    ends_right(world, "run-2")


def test_a_dead_letter_is_never_settled_before_a_batch_below() -> None:
    """So no dead letter stands above the checkpoint, and nothing that was replayed can be superseded afterwards."""
    world = World([[*RECORDS, {"n": 4}]])
    actor = begin_and_die(world, "run-1", "page", "write", "write")
    first, second = actor.sent
    refused = Outcome(Action.BATCH_FAILURE, "INVALID_ARGUMENT", "no")
    actor.hear(Answered(second.batch.batch_id, refused))
    while actor.stores:
        actor.do("store")
    assert world.status(second.batch.batch_id) == "ATTEMPTED"
    assert all(not isinstance(event, BatchDeadLettered) for event in (*actor.state.ready, *actor.state.writing))
    world.pages = [[{"n": 1}, {"n": 9}]]
    lane = ends_right(world, "run-2")
    assert lane.epoch > 0
    assert {world.status(each.batch.batch_id) for each in (first, second)} == {"SUPERSEDED"}
