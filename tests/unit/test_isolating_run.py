"""A run after three that died takes the isolated ports; a run that found what cannot be decoded says so at its end."""

from dataclasses import replace
from typing import Any

import pytest

from ingestor.batch import Limits
from ingestor.isolating import isolating
from ingestor.lognames import LogName
from ingestor.ports import Isolated, Plan, Ports
from state.fold import STALLED_RUNS
from tests.unit.test_taking import plan
from tests.world import LANE, Actor, World, finish

LIMITS = Limits(rows=2, bytes=10_000)


class Source:
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        """Count."""
        self.closed += 1


def ports(isolate: Any, told: list[LogName], source: Source) -> Ports:
    unused: Any = None
    return Ports(
        ledger=unused,
        source=source,  # type: ignore[arg-type]
        open_connection=unused,
        rejects=unused,
        store_dead=unused,
        table_exists=unused,
        publish=unused,
        preflight=unused,
        publish_operators=unused,
        heal=unused,
        note_skip=unused,
        clock=unused,
        log=lambda name, *_, **__: told.append(name),
        isolate=isolate,
        close=lambda: told.append(LogName.RUN_FINISHED),
    )


def given() -> Plan:
    return plan("run-1", takeover=False, partitions=1, lane=LANE)


@pytest.mark.parametrize("deaths", range(STALLED_RUNS))
def test_a_run_does_not_isolate_before_three_runs_died(deaths: int) -> None:
    before, wanted = ports(lambda *_: pytest.fail("asked"), [], Source()), given()
    assert isolating(before, wanted, deaths) == (before, wanted)


def test_a_run_after_three_that_died_reads_cuts_and_sends_in_smaller_parts_beside_itself() -> None:
    told, source, closed = list[LogName](), Source(), list[str]()
    mine: Any = object()

    def isolate(deaths: int, encode: Any) -> Isolated:
        assert (deaths, encode) == (STALLED_RUNS, given().encode)
        return Isolated(mine, mine, mine, 1, lambda: True, lambda: closed.append("children"))

    after, changed = isolating(ports(isolate, told, source), given(), STALLED_RUNS)
    assert (after.source, after.open_connection, changed.encode) == (mine, mine, mine)
    assert (changed.limits.rows, changed.max_in_flight, changed.request_rows) == (1, 1, 1)
    assert changed.isolate_next()
    assert (told, source.closed) == ([LogName.RUN_ISOLATES], 1)
    after.close()
    assert (closed, told[-1]) == (["children"], LogName.RUN_FINISHED)


@pytest.mark.parametrize("isolate", [True, False])
def test_a_run_that_found_what_cannot_be_decoded_lets_the_next_isolate_from_its_start(*, isolate: bool) -> None:
    world = World([[{"n": 1}, {"n": 2}]])
    actor = Actor(world, "run-1", limits=LIMITS)
    actor.state = replace(actor.state, settings=replace(actor.settings, isolate_next=lambda: isolate))
    assert finish(actor).deaths == (STALLED_RUNS if isolate else 0)


def test_a_batch_in_doubt_is_sent_in_parts_when_the_run_isolates() -> None:
    world = World([[{"n": number} for number in range(4)]])
    first = Actor(world, "run-1", limits=Limits(4, 10_000))
    first.do("page")
    first.do("write")
    sent = list[int]()
    plain = world.answer

    def answer(command: Any) -> Any:
        sent.append(len(command.rows))
        return plain(command)

    world.answer = answer
    second = Actor(world, "run-2", limits=Limits(1, 10_000))
    second.state = replace(second.state, settings=replace(second.settings, request_rows=1))
    finish(second)
    assert sent == [1, 1, 1, 1]
    assert world.visible() == world.records()
