"""How a run becomes its lane's run, and when it does not."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ingestor.batch import Limits
from ingestor.errors import ConfigurationError
from ingestor.ports import Plan, Ports
from ingestor.taking import Left, Taken, take_lane
from state.errors import Refused
from state.events import Event
from state.fold import STALLED_RUNS, Statement
from state.memory import MemoryJournal
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    Clock,
    attempted,
    committed,
    failed,
    finished,
    heartbeat,
    paused,
    resumed,
    started,
    tell,
    writer,
)
from tests.world import encode


@dataclass
class Lane:
    """A lane, and what a run that wants it may use."""

    clock: Clock = field(default_factory=Clock)
    others: int = 0
    published: list[Statement] = field(default_factory=list)
    operators: int = 0

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(now_s=self.clock.read_s)

    def told(self, *entries: list[Event]) -> "Lane":
        ledger = writer(self.journal, clock=self.clock)
        ledger.open()
        for events in entries:
            is_persons = any(type(event).__name__ in {"Paused", "Resumed"} for event in events)
            tell(ledger, [events], "" if is_persons else "run-1")
        return self

    def take(self, run_id: str = "run-2", *, takeover: bool = False, partitions: int = 1, lane: str = LANE) -> Any:
        class Monotonic:
            monotonic = staticmethod(self.clock.read_s)

        def count() -> None:
            self.operators += 1

        unused: Any = None
        ports = Ports(
            ledger=writer(self.journal, lane=lane, clock=self.clock),
            source=unused,
            open_connection=unused,
            rejects=unused,
            store_dead=unused,
            table_exists=unused,
            publish=self.published.extend,
            preflight=unused,
            publish_operators=count,
            heal=unused,
            note_skip=unused,
            clock=cast("Any", Monotonic),
            log=unused,
            partitions_of_others=lambda: self.others,
        )
        return take_lane(ports, plan(run_id, takeover=takeover, partitions=partitions, lane=lane))


def plan(run_id: str, *, takeover: bool, partitions: int, lane: str) -> Plan:
    return Plan(
        pipeline=PIPELINE,
        lane=lane,
        run_id=run_id,
        trigger="test",
        code_version="0",
        partitions=partitions,
        takeover=takeover,
        encode=encode,
        limits=Limits(2, 1000),
        max_in_flight=1,
        max_attempts=1,
        append_timeout_s=60.0,
        stale_s=180.0,
        deadline_s=480.0,
        fuse_consecutive=5,
        fuse_ratio=0.2,
    )


def test_a_live_run_keeps_its_lane_and_a_takeover_or_its_staleness_ends_that() -> None:
    lane = Lane().told([started()])
    assert isinstance(lane.take(), Left)
    lane.clock.sleep(181)
    assert isinstance(lane.take(), Taken)
    assert isinstance(lane.take("run-3", takeover=True), Taken)


def test_a_paused_lane_is_left_with_its_reason_even_to_a_takeover() -> None:
    lane = Lane().told([started()], [paused()])
    for takeover in (False, True):
        left = lane.take(takeover=takeover)
        assert isinstance(left, Left)
        assert left.reason == "lane 0 is paused: the source is being moved"
    lane.told([resumed()])
    assert isinstance(lane.take(), Taken)


def test_a_paused_lanes_run_publishes_once_what_is_owed() -> None:
    lane = Lane().told([started()], [attempted("b1")], [committed("b1")], [paused()])
    for _ in range(3):
        assert isinstance(lane.take(), Left)
    assert [(owed.batch_id, owed.status) for owed in lane.published] == [("b1", "COMMITTED")]
    assert lane.operators == 3
    assert writer(lane.journal).open().state.outbox == ()


def test_other_partitions_are_refused_with_the_way_to_do_it() -> None:
    lane = Lane().told([started()], [finished()])
    with pytest.raises(ConfigurationError, match=r"set it back to 1.*PIPELINE_ID"):
        lane.take(partitions=2)
    assert isinstance(lane.take(partitions=1), Taken)


def test_a_lanes_first_run_asks_the_other_lanes() -> None:
    lane = Lane(others=2)
    with pytest.raises(ConfigurationError, match="set it back to 2"):
        lane.take(partitions=4, lane="3")
    assert isinstance(lane.take(partitions=2, lane="1"), Taken)


def test_partitions_are_nothing_to_a_lane_that_is_none() -> None:
    assert isinstance(Lane(others=2).take(partitions=4, lane="january"), Taken)


def test_a_lane_unfinished_beyond_its_retention_is_refused_with_the_command_that_mends_it() -> None:
    lane = Lane().told([started()], [attempted("b1")])
    lane.clock.now_us += 90 * DAY_US
    with pytest.raises(Refused, match="ingestor ledger recover"):
        lane.take()


DIES: list[list[Event]] = [[started()], [heartbeat()]]


@pytest.mark.parametrize(
    ("entries", "deaths"),
    [
        (DIES, 1),
        (DIES * 3, 3),
        ([*DIES * 2, [attempted("b1")], *DIES], 3),
        ([*DIES * 2, [attempted("b1")], [committed("b1")]], 1),
        ([*DIES * 2, [finished()]], 0),
        ([*DIES * 2, [failed()]], 0),
        ([*DIES * 3, [started(), failed()]], STALLED_RUNS),
        ([*DIES * 3, [started(), finished()]], 0),
    ],
    ids=["one", "three", "an attempt is no progress", "a commit is", "a finish", "a failure", "known", "healed"],
)
def test_runs_that_end_without_a_word_at_one_checkpoint_are_counted(entries: list[list[Event]], deaths: int) -> None:
    taken = Lane().told(*entries).take(takeover=True)
    assert isinstance(taken, Taken)
    assert taken.lane.deaths == deaths
