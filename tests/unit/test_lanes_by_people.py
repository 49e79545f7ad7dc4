"""What people do to lanes beside runs: pause, resume, move the checkpoint, recover; on the real loop and ledger."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingestor.errors import AppendError
from ingestor.lane_control import ControlPorts, LaneControl, is_ahead
from ingestor.lognames import LogName
from ingestor.recover import Recovered, RecoverPorts, recover
from ingestor.signals import LaneClosed, LedgerLost
from ingestor.workers import who_took_over
from state.aging import LEAP
from state.errors import Refused
from state.events import OPS_LANE, BatchDeadLettered, Event, Position, RunStarted
from state.fold import Statement
from state.ledger import LaneLedger
from state.ops import OpsLedger
from state.troubled import trouble_of
from state.verify import verify_pipeline
from tests.kept import Kept
from tests.unit.state.histories import attempted, committed, rejected, started, tell
from tests.unit.test_histories import LIMITS, RECORDS, begin_and_die
from tests.world import LANE, PIPELINE, Actor, World, finish

DAY_S = 86_400
REPLAYER = "t"
PAGES: list[list[Any]] = [[{"n": 1}, {"n": 2}], [{"n": 3}, {"n": 4}], [{"n": 5}]]


@dataclass
class People:
    """Whoever may change lanes in a world, and the ledger table as they see it: statements of all lanes."""

    world: World
    pagination: str = "next_cursor"
    is_table_down: bool = False
    operators: list[Statement] = field(default_factory=list)
    logged: list[LogName] = field(default_factory=list)

    def open_ledger(self, lane: str) -> LaneLedger:
        return LaneLedger(
            self.world.journal,
            PIPELINE,
            lane,
            now_us=lambda: self.world.instant().wall_us,
            nonce=lambda: f"person-{next(self.world.nonces)}",
            sleep=lambda _: None,
            retention_days=90,
        )

    @property
    def ops(self) -> OpsLedger:
        return OpsLedger(
            self.world.journal,
            PIPELINE,
            now_us=lambda: self.world.instant().wall_us,
            nonce=lambda: f"ops-{next(self.world.nonces)}",
            sleep=lambda _: None,
            retention_days=90,
        )

    def publish(self, _: str, statements: Sequence[Statement]) -> None:
        if self.is_table_down:
            raise AppendError("the ledger table took no statements")
        self.world.statements += [(s.batch_id, s.status, s.version) for s in statements]

    def publish_operators(self) -> None:
        ops = self.ops
        if owed := ops.outbox():
            self.operators += owed
            ops.published(owed[-1].version)

    def published(self, lane: str, above: int) -> tuple[dict[str, str], int]:
        assert lane == LANE
        told = sorted((s for s in self.world.statements if s[2] > above), key=lambda s: s[2])
        return {batch_id: status for batch_id, status, _ in told}, max((s[2] for s in told), default=0)

    def log(self, name: LogName, severity: str = "INFO", **_: Any) -> None:
        del severity
        self.logged.append(name)

    @property
    def control(self) -> LaneControl:
        ports = ControlPorts(
            journal=self.world.journal,
            open_ledger=self.open_ledger,
            publish=self.publish,
            publish_operators=self.publish_operators,
            pagination=self.pagination,
            start=None,
            partitions=1,
            sleep=lambda _: None,
            log=lambda _: self.log,
        )
        return LaneControl(ports)

    def recover(self) -> Recovered:
        ports = RecoverPorts(
            journal=self.world.journal,
            open_ledger=self.open_ledger,
            published=self.published,
            discard=lambda batch_id, actor, reason: self.ops.discard(
                batch_id, actor=actor, reason=reason, recovered=True
            ),
            control=self.control,
            log=lambda _: self.log,
        )
        return recover(ports, LANE, actor="ann", reason="spring")

    def visible(self) -> Counter[str]:
        """What the view shows: a statement of the operators wins over those of the lane."""
        before = list(self.world.statements)
        try:
            self.world.statements += [(s.batch_id, s.status, s.version + 10**12) for s in self.operators]
            return self.world.visible()
        finally:
            self.world.statements[:] = before


def world_of(pages: list[list[Any]]) -> World:
    world = World(copy.deepcopy(pages))
    world.journal = Kept(now_s=lambda: world.seconds)
    return world


def ends_right(people: People, run_id: str) -> Actor:
    world = people.world
    actor = Actor(world, run_id, limits=LIMITS)
    finish(actor)
    assert (actor.state.status, actor.state.balanced) == ("complete", True)
    assert verify_pipeline(world.journal, PIPELINE) == []
    return actor


def test_a_run_that_meets_a_pause_writes_nothing_more_and_the_next_settles_what_it_left() -> None:
    people = People(world_of([RECORDS]))
    actor = begin_and_die(people.world, "run-1", "page", "write")
    done = people.control.pause(LANE, actor="ann", reason="the source moves")
    assert (done.is_changed, done.state.paused, done.state.run_open) == (True, True, False)
    version = done.state.version
    met = who_took_over(actor.ledger, "run-1")
    assert met == LaneClosed("a person paused the lane: the source moves")
    actor.hear(met)
    assert (actor.over, actor.state.status, actor.state.failure) == (True, "partial", None)
    assert people.open_ledger(LANE).open().state.version == version
    people.control.resume(LANE, actor="ann")
    ends_right(people, "run-2")
    assert people.visible() == people.world.records()


def test_a_run_tells_another_run_from_a_person() -> None:
    people = People(world_of([RECORDS]))
    actor = begin_and_die(people.world, "run-1", "page", "write")
    people.control.pause(LANE, actor="ann", reason="r")
    people.control.resume(LANE, actor="ann")
    assert isinstance(who_took_over(actor.ledger, "run-1"), LaneClosed)
    begin_and_die(people.world, "run-2")
    assert isinstance(who_took_over(actor.ledger, "run-1"), LedgerLost)


def test_looking_who_took_over_lets_nobody_write_above_it() -> None:
    people = People(world_of([RECORDS]))
    actor = begin_and_die(people.world, "run-1", "page")
    people.control.pause(LANE, actor="ann", reason="r")
    before = actor.ledger.state
    who_took_over(actor.ledger, "run-1")
    assert actor.ledger.state is before


def test_pausing_publishes_what_the_lane_owes_and_works_when_bigquery_takes_nothing() -> None:
    people = People(world_of([RECORDS[:2]]))
    begin_and_die(people.world, "run-1", "page", "write", "append", "write")
    people.is_table_down = True
    done = people.control.pause(LANE, actor="ann", reason="BigQuery is down")
    assert (done.state.paused, len(done.state.outbox)) == (True, 1)
    assert "took no statements" in done.unpublished
    people.is_table_down = False
    done = people.control.resume(LANE, actor="ann")
    assert (done.state.outbox, done.unpublished) == ((), "")
    assert len(people.world.statements) == 1, "what is owed is said once"
    assert people.visible() == people.world.records()


def test_pausing_twice_and_resuming_twice_change_nothing() -> None:
    people = People(world_of([RECORDS]))
    first = people.control.pause(LANE, actor="ann", reason="r")
    again = people.control.pause(LANE, actor="bob", reason="s")
    assert (again.is_changed, again.state, again.text) == (False, first.state, "lane 0 is paused already: r")
    people.control.resume(LANE, actor="bob")
    assert not people.control.resume(LANE, actor="bob").is_changed
    assert people.logged == [LogName.LANE_PAUSED, LogName.LANE_RESUMED]


@pytest.mark.parametrize(("lane", "message"), [(OPS_LANE, "operators'"), ("7", "no lane 7"), ("x", "no lane x")])
def test_only_lanes_that_are_there_can_be_paused(lane: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        People(world_of([RECORDS])).control.pause(lane, actor="ann", reason="r")


@pytest.mark.parametrize(("actor", "reason", "message"), [("", "r", "say who"), ("ann", " ", "needs a reason")])
def test_a_lane_changes_only_in_somebodys_name_and_for_a_reason(actor: str, reason: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        People(world_of([RECORDS])).control.pause(LANE, actor=actor, reason=reason)


def test_a_checkpoint_that_is_set_skips_what_lies_between_and_supersedes_what_is_in_doubt() -> None:
    people = People(world_of(PAGES))
    actor = begin_and_die(people.world, "run-1", "page", "write")
    late = actor.zombie_appends()
    done = people.control.set_checkpoint(LANE, to="2", actor="ann", reason="test data", never_passed=True)
    assert (done.state.checkpoint, done.state.boundary, done.state.unsettled) == (Position("2"), b"", ())
    assert done.state.outbox == ()
    assert isinstance(who_took_over(actor.ledger, "run-1"), LaneClosed)
    late()
    ends_right(people, "run-2")
    assert people.visible() == Counter({'{"n": 5}': 1})


@pytest.mark.parametrize("to", ["1", "2"], ids=["where a batch ended", "where it is now"])
def test_an_opaque_cursor_that_the_lane_passed_is_refused(to: str) -> None:
    people = People(world_of(PAGES))
    ends_right(people, "run-1")
    with pytest.raises(Refused, match="has passed"):
        people.control.set_checkpoint(LANE, to=to, actor="ann", reason="r", never_passed=True)


def test_an_opaque_cursor_needs_the_persons_word() -> None:
    with pytest.raises(Refused, match="--never-passed"):
        People(world_of(PAGES)).control.set_checkpoint(LANE, to="2", actor="ann", reason="r")


def test_a_source_without_pages_has_no_checkpoint_to_set() -> None:
    with pytest.raises(Refused, match="no cursors"):
        People(world_of(PAGES), pagination="none").control.set_checkpoint(LANE, to="2", actor="a", reason="r")


def test_a_cursor_that_can_be_compared_goes_forward_only() -> None:
    people = People(world_of(PAGES), pagination="offset")
    people.control.set_checkpoint(LANE, to="2", actor="ann", reason="r")
    for back in ("1", "2"):
        with pytest.raises(Refused, match="not ahead"):
            people.control.set_checkpoint(LANE, to=back, actor="ann", reason="r")


@pytest.mark.parametrize(
    ("pagination", "to", "at", "ahead"),
    [
        ("offset", "10", Position("9"), True),
        ("offset", "10", Position("9", 1), False),
        ("offset", "10", Position(None, 9), True),
        ("high_water_mark", "10", Position("9"), True),
        ("high_water_mark", "9", Position("9", 3), False),
        ("high_water_mark", "2026-02-01T00:00:00Z", Position("2026-01-31T23:59:59.9+00:00"), True),
        ("high_water_mark", "2026-02-01T00:00:00Z", Position("2026-02-01T01:00:00+01:00"), False),
        ("high_water_mark", "2026-02-01T00:00:00Z", Position("2026-01-31T00:00:00Z -3600", 4), True),
        ("high_water_mark", "100", Position("99 -30", 4), True),
        ("high_water_mark", "80", Position("99 -30", 4), False),
        ("high_water_mark", "b", Position("a"), True),
        ("high_water_mark", "a", Position(None), True),
    ],
)
def test_ahead_means_ahead_as_the_source_counts(pagination: str, to: str, at: Position, *, ahead: bool) -> None:
    assert is_ahead(pagination, to, at) is ahead


def test_an_offset_is_a_whole_number() -> None:
    with pytest.raises(Refused, match="no offset"):
        is_ahead("offset", "1.5", Position("1"))


# Two of the named histories, "a lane idle beyond its retention" and "a dead letter above the checkpoint replayed and
# then superseded", with `ledger recover`. The others stand in `test_histories.py`.


def aged(people: People, *, entries_left: int = 0) -> None:
    """Let the retention pass; of the last run's entries above its start only so many are left."""
    people.world.seconds += 91 * DAY_S
    snapshot = people.world.journal.read_snapshot(LANE)
    assert snapshot is not None
    entries = people.world.journal._entries[LANE]
    for version in sorted(v for v in entries if v > snapshot.version)[: -entries_left or None]:
        del entries[version]


@pytest.mark.parametrize("entries_left", [0, 1])
def test_a_lane_unfinished_beyond_its_retention_refuses_to_run_until_it_is_recovered(entries_left: int) -> None:
    people = People(world_of(PAGES))
    begin_and_die(people.world, "run-1", "page", "write", "append", "write")
    aged(people, entries_left=entries_left)
    with pytest.raises(Refused, match="ingestor ledger recover"):
        Actor(people.world, "run-2", limits=LIMITS)
    assert people.recover().version > LEAP
    ends_right(people, "run-3")
    assert people.visible() == people.world.records()
    assert people.recover().version == 0


def test_a_lane_that_finished_goes_on_however_long_it_was_idle() -> None:
    people = People(world_of(PAGES))
    ends_right(people, "run-1")
    aged(people)
    ends_right(people, "run-2")
    assert people.visible() == people.world.records()


def test_a_lane_unfinished_for_less_than_its_retention_is_settled_and_not_recovered() -> None:
    people = People(world_of(PAGES))
    begin_and_die(people.world, "run-1", "page", "write", "append", "write")
    people.world.seconds += 89 * DAY_S
    assert people.recover().version == 0
    ends_right(people, "run-2")
    assert people.visible() == people.world.records()


def test_what_an_aged_run_made_visible_is_hidden_and_read_again_though_its_documents_are_gone() -> None:
    people = People(world_of(PAGES))
    actor = begin_and_die(people.world, "run-1", "page", "write", "append", "write")
    actor._publish(actor.state.lane.outbox)
    assert people.visible().total() == 2
    zombie = actor.zombie_appends()
    aged(people)
    people.world.journal._batches.clear()
    done = people.recover()
    assert done.superseded == 1
    assert people.visible().total() == 0
    zombie()
    ends_right(people, "run-2")
    assert people.visible() == people.world.records()
    assert all(len(times) == 1 for times in people.world.times.values())


def test_a_recovered_batch_with_rejected_records_is_no_longer_one_that_waits() -> None:
    people = People(world_of(PAGES))
    ledger = people.open_ledger(LANE)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [rejected("b1", 0), committed("b1")]])
    aged(people, entries_left=1)
    assert people.recover().superseded == 2
    kept = people.world.journal.read_troubled(limit=9)
    assert {key: (each["status"], "expire_at_us" in each) for key, each in kept.items()} == {"b1": ("SUPERSEDED", True)}
    assert kept["b1"] == trouble_of(people.world.journal.read_batch("b1") or {})


def test_a_batch_that_the_aged_run_carried_over_and_committed_is_hidden_and_read_again() -> None:
    people = People(world_of(PAGES))
    begin_and_die(people.world, "run-1", "page", "write")
    second = begin_and_die(people.world, "run-2", "page", "append", "write")
    second._publish(second.state.lane.outbox)
    assert people.visible().total() == 2
    aged(people)
    assert people.recover().superseded == 1
    assert people.visible().total() == 0
    ends_right(people, "run-3")
    assert people.visible() == people.world.records()


def test_a_zombie_of_before_a_recovery_stands_below_it_whatever_it_still_publishes() -> None:
    people = People(world_of(PAGES))
    zombie = begin_and_die(people.world, "run-1", "page", "write", "append", "write")
    aged(people)
    people.recover()
    ends_right(people, "run-2")
    zombie._publish(zombie.state.lane.outbox)
    assert people.visible() == people.world.records()


def dead_letter(people: People, run_id: str) -> str:
    """Let a run dead-letter the first batch and die. Return the batch's id."""
    actor = begin_and_die(people.world, run_id, "page", "write")
    batch_id = actor.sent[0].batch.batch_id
    event: Event = BatchDeadLettered(
        batch_id=batch_id,
        kind="batch",
        code="INVALID_ARGUMENT",
        storage_error=0,
        error="no",
        fingerprint="f",
        attempts=1,
        object="o",
        generation=1,
    )
    actor.ledger.append([event], run_id=run_id)
    late = actor.zombie_appends()
    late()
    return batch_id


def test_a_dead_letter_of_an_aged_run_that_was_replayed_is_discarded_and_never_opened_again() -> None:
    people = People(world_of(PAGES))
    batch_id = dead_letter(people, "run-1")
    ops = people.ops
    ops.claim(batch_id, token=REPLAYER, actor="bob", reason="r")
    ops.succeeded(batch_id, token=REPLAYER, actor="bob", rows=2, attempts=1)
    people.publish_operators()
    assert people.visible().total() == 2
    aged(people)
    done = people.recover()
    assert (done.superseded, done.discarded) == (0, 1)
    assert people.world.status(batch_id) == "DISCARDED"
    assert people.visible().total() == 0
    with pytest.raises(Refused, match="recovered"):
        people.ops.reopen(batch_id, actor="bob", reason="r")
    ends_right(people, "run-2")
    assert people.visible() == people.world.records()


@pytest.mark.parametrize("closed", [False, True])
def test_a_dead_letter_of_an_aged_run_is_closed_so_that_nobody_replays_it(*, closed: bool) -> None:
    people = People(world_of(PAGES))
    batch_id = dead_letter(people, "run-1")
    if closed:
        people.ops.discard(batch_id, actor="bob", reason="no use")
    aged(people)
    assert people.recover().discarded == 1
    with pytest.raises(Refused):
        people.ops.reopen(batch_id, actor="bob", reason="r")
    with pytest.raises(Refused):
        people.ops.claim(batch_id, token=REPLAYER, actor="bob", reason="r")


def test_a_dead_letter_of_before_the_snapshot_is_left_alone() -> None:
    people = People(world_of(PAGES))
    batch_id = dead_letter(people, "run-1")
    begin_and_die(people.world, "run-2", "page", "write", "append", "write")
    aged(people)
    assert people.recover().discarded == 0
    assert people.world.status(batch_id) == "DEAD_LETTERED"


def test_a_recovery_that_crashed_before_its_entry_is_done_again_from_its_start() -> None:
    people = People(world_of(PAGES))
    batch_id = dead_letter(people, "run-1")
    aged(people)
    people.ops.discard(batch_id, actor="ann", reason="lane 0 recovered", recovered=True)
    with pytest.raises(Refused, match="ingestor ledger recover"):
        Actor(people.world, "run-2", limits=LIMITS)
    assert people.recover().discarded == 1
    ends_right(people, "run-3")
    assert people.visible() == people.world.records()


def test_a_run_started_survives_the_retention_so_that_the_age_of_a_lane_is_always_known() -> None:
    people = People(world_of(PAGES))
    begin_and_die(people.world, "run-1")
    entry = people.world.journal.read_entry(LANE, 1)
    assert entry is not None
    assert entry.entry.events[0]["type"] == RunStarted.TYPE
