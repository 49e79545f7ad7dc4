"""A page that is read again: what was taken before is dropped, what changed since is new, logged and counted."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingestor.batch import Limits
from ingestor.encode import Rejection
from ingestor.lognames import LogName
from ingestor.paging import MAX_REMEMBERED
from ingestor.signals import Command, Note
from ingestor.summary import run_summary
from tests.world import Actor, World, encode, finish

LIMITS = Limits(rows=2, bytes=10_000)
A, B, C = {"n": "a"}, {"n": "b"}, {"n": "c"}


class Watched(Actor):
    """A run whose log lines are kept."""

    def _take(self, commands: tuple[Command, ...]) -> None:
        self.noted = [*getattr(self, "noted", []), *(c for c in commands if isinstance(c, Note))]
        super()._take(commands)


def taken(records: list[Any]) -> World:
    """A world whose only page was taken up to its second record: the run stopped there."""
    world = World([records])
    actor = Actor(world, "run-1", limits=LIMITS)
    actor.do("page")
    actor.do("write")
    actor.stop()
    finish(actor)
    assert (actor.state.status, len(world.table)) == ("partial", 2)
    return world


@pytest.mark.parametrize(
    ("before", "after", "known", "changed", "new"),
    [
        ([A, B, C], [A, B, C], 2, 0, 1),
        ([A, B, C], [A, {"n": "B"}, C], 1, 1, 2),
        ([A, B, C], [{"n": "A"}, {"n": "B"}, C], 0, 2, 3),
        ([A, B, C], [C], 0, 2, 1),
        ([A, B, C], [C, B, A], 2, 0, 1),
        ([A, A, C], [A, C], 1, 1, 1),
        ([A, A, C], [A, A, A, C], 2, 0, 2),
    ],
    ids=["as it was", "one changed", "all changed", "gone", "in another order", "one double less", "one double more"],
)
def test_what_is_the_same_is_dropped_and_what_changed_is_new_logged_and_counted(
    before: list[Any], after: list[Any], known: int, changed: int, new: int
) -> None:
    world = taken(before)
    world.pages = [after]
    actor = Watched(world, "run-2", limits=LIMITS)
    finish(actor)
    summary = run_summary(actor.state, 0.0)
    assert (summary["rows_known"], summary["rows_changed"], summary["rows_committed"]) == (known, changed, new)
    assert summary["balanced"]
    assert len(world.table) == 2 + new
    # Once for each time the page was read: what was in doubt may have been superseded and read again.
    told = {note.fields["rows"] for note in actor.noted if note.name is LogName.SOURCE_CHANGED}
    assert told == ({changed} if changed else set())


def test_records_are_recognised_though_the_schema_changed_in_between() -> None:
    world = taken([A, B, C])

    def newer(record: object) -> bytes | Rejection:
        row = encode(record)
        return row if isinstance(row, Rejection) else json.dumps({**json.loads(row), "more": 1}).encode()

    actor = Actor(world, "run-2", limits=LIMITS)
    actor.state = replace(actor.state, settings=replace(actor.settings, encode=newer))
    finish(actor)
    assert (actor.state.counts.known, actor.state.counts.changed, actor.state.counts.rows_committed) == (2, 0, 1)


@pytest.mark.parametrize("over", [0, 1])
def test_more_records_of_one_page_than_can_be_remembered_are_refused_with_the_remedy(over: int) -> None:
    count = MAX_REMEMBERED + over
    world = World([[{"n": number} for number in range(count)]])
    actor = Actor(world, "run-1", limits=Limits(count, 10**9))
    finish(actor)
    if over:
        assert actor.state.status == "failed"
        assert "SOURCE_PAGE_SIZE to 20000 or less" in str(actor.state.failure)
        assert world.table == []
    else:
        assert (actor.state.status, len(actor.state.lane.boundary)) == ("complete", 16 * MAX_REMEMBERED)
