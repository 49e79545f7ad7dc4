"""Whatever the order of events, wherever runs die: the next clean run ends with the view equal to the source."""

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestor.batch import Limits
from ingestor.outcome import Action, Outcome, RowError, answered
from state.verify import verify_lane
from tests.world import LANE, PIPELINE, Actor, World, finish

RECORD = st.fixed_dictionaries({"n": st.integers(0, 5)}, optional={"bad": st.just(1)})
PAGES = st.lists(st.lists(RECORD, max_size=5), min_size=1, max_size=4)
EXAMPLES = int(os.environ.get("INGESTOR_EXAMPLES", "80"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_books(world: World) -> None:
    """Law 2 and the count of law 5: every record is visible once or set aside once."""
    assert world.visible() + world.set_aside() == world.records()
    assert all(len(times) == 1 for times in world.times.values())
    assert world.too_early == []
    assert verify_lane(world.journal, PIPELINE, LANE) == []


def drive(actor: Actor, data: st.DataObject, steps: int) -> None:
    """Let some effects happen, some connections die, some time pass."""
    for _ in range(steps):
        if actor.over:
            return
        choices = [*actor.choices(), "lose", "wait"]
        match data.draw(st.sampled_from(choices)):
            case "lose":
                actor.lose_connection(applied=data.draw(st.integers(0, len(actor.sent))))
            case "wait":
                actor.wait()
            case choice:
                actor.do(choice)


@SETTINGS
@given(pages=PAGES, rows=st.integers(1, 4), window=st.integers(1, 3), data=st.data())
def test_a_run_alone_shows_every_record_once_in_any_order_of_events(
    pages: list[list[Any]], rows: int, window: int, data: st.DataObject
) -> None:
    world = World(pages)
    actor = Actor(world, "run-1", limits=Limits(rows, 10_000), max_in_flight=window)
    finish(actor, lambda choices: data.draw(st.sampled_from(choices)))
    assert actor.state.status == "complete"
    assert actor.state.balanced
    check_books(world)


@SETTINGS
@given(pages=PAGES, more=PAGES, sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4), data=st.data())
def test_runs_that_die_anywhere_are_made_good_by_the_next_clean_one(
    pages: list[list[Any]], more: list[list[Any]], sizes: list[int], data: st.DataObject
) -> None:
    world, late = World(pages), []
    for number, rows in enumerate(sizes):
        actor = Actor(world, f"run-{number}", limits=Limits(rows, 10_000))
        drive(actor, data, data.draw(st.integers(0, 40)))
        late.append(actor.zombie_appends())
        if data.draw(st.booleans()):
            world.pages = [*world.pages[:-1], world.pages[-1] + more[0], *more[1:]]
    last = Actor(world, "run-last", limits=Limits(3, 10_000))
    finish(last)
    for append_late in late:
        append_late()
    assert last.state.status == "complete"
    assert last.state.balanced
    check_books(world)


@SETTINGS
@given(pages=PAGES, other=PAGES, data=st.data())
def test_a_source_that_rewrites_what_is_in_doubt_is_shown_as_it_is_now(
    pages: list[list[Any]], other: list[list[Any]], data: st.DataObject
) -> None:
    world = World(pages)
    first = Actor(world, "run-1", limits=Limits(2, 10_000))
    drive(first, data, data.draw(st.integers(0, 30)))
    late = first.zombie_appends()
    settled = first.ledger.open().state.checkpoint
    if settled is None:
        world.pages = other
    last = Actor(world, "run-2", limits=Limits(2, 10_000))
    finish(last)
    late()
    assert last.state.status == "complete"
    check_books(world)


@SETTINGS
@given(pages=PAGES, data=st.data())
def test_two_runs_at_once_do_no_harm(pages: list[list[Any]], data: st.DataObject) -> None:
    world = World(pages)
    first = Actor(world, "run-1", limits=Limits(2, 10_000))
    drive(first, data, data.draw(st.integers(0, 15)))
    second = Actor(world, "run-2", limits=Limits(2, 10_000))
    for _ in range(200):
        alive = [actor for actor in (first, second) if actor.choices()]
        if not alive:
            break
        actor = data.draw(st.sampled_from(alive))
        actor.do(data.draw(st.sampled_from(actor.choices())))
    finish(second)
    if not first.over:
        finish(first)
    last = Actor(world, "run-3", limits=Limits(2, 10_000))
    finish(last)
    check_books(world)


@SETTINGS
@given(pages=PAGES, data=st.data())
def test_a_second_run_finds_nothing_new(pages: list[list[Any]], data: st.DataObject) -> None:
    world = World(pages)
    finish(Actor(world, "run-1", limits=Limits(data.draw(st.integers(1, 4)), 10_000)))
    rows = len(world.table)
    again = Actor(world, "run-2", limits=Limits(3, 10_000))
    finish(again)
    assert (again.state.counts.taken, len(world.table)) == (0, rows)
    assert again.state.status == "complete"


@SETTINGS
@given(pages=PAGES, data=st.data())
def test_a_stopped_run_ends_partial_and_the_next_goes_on(pages: list[list[Any]], data: st.DataObject) -> None:
    world = World(pages)
    first = Actor(world, "run-1", limits=Limits(2, 10_000))
    drive(first, data, data.draw(st.integers(0, 20)))
    if not first.over:
        first.stop()
        finish(first)
        assert first.state.status in {"partial", "complete"}
        assert first.state.balanced
    last = Actor(world, "run-2", limits=Limits(2, 10_000))
    finish(last)
    check_books(world)


ANSWERS: dict[str, Any] = {
    "appended": lambda _: answered(0),
    "take_out": lambda rows: answered(3, row_errors=tuple(RowError(i, 1, "no") for i in range(0, rows, 2))),
    "retry": lambda _: answered(10, "try again"),
    "slow_down": lambda _: answered(8, "throughput quota"),
    "halve": lambda _: answered(3, "request too large"),
    "batch_failure": lambda _: Outcome(Action.BATCH_FAILURE, "INVALID_ARGUMENT", "never"),
    "not_found": lambda _: answered(5, "table", storage_error=1),
    "reconnect": lambda _: answered(9, "precondition"),
}


@SETTINGS
@given(pages=PAGES, rows=st.integers(1, 5), window=st.integers(1, 3), data=st.data())
def test_whatever_bigquery_answers_every_record_is_visible_or_set_aside_and_the_books_balance(
    pages: list[list[Any]], rows: int, window: int, data: st.DataObject
) -> None:
    world = World(pages)
    world.answer = lambda sent: ANSWERS[data.draw(st.sampled_from(sorted(ANSWERS)))](len(sent.rows))
    for number in range(3):
        actor = Actor(world, f"run-{number}", limits=Limits(rows, 10_000), max_in_flight=window, max_attempts=4)
        finish(actor, lambda choices: data.draw(st.sampled_from(choices)))
        assert actor.state.balanced, actor.state.counts
    world.answer = lambda _: answered(0)
    last = Actor(world, "run-last", limits=Limits(rows, 10_000))
    finish(last)
    assert (last.state.status, last.state.balanced) == ("complete", True)
    assert world.visible() + world.set_aside() + world.dead_records() == world.records()
    assert verify_lane(world.journal, PIPELINE, LANE) == []
