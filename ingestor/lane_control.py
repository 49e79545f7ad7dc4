"""What a person may do to a lane: pause it, let it go on, move its checkpoint. For the command and for the service.

Each is one entry of the lane, written between those of its run: the run that meets it writes nothing more and ends as
partial. What it has in flight stays in doubt: the next run settles it, or, when the checkpoint was moved, it is
superseded in the same entry. What the lane owes the ledger table is published first and after it; a BigQuery that takes
nothing keeps nobody from pausing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingestor.errors import AppendError
from ingestor.lognames import LogName
from ingestor.paging_marks import mark_reaches
from ingestor.ports import Log
from state.errors import LedgerUnavailable, Refused, VersionConflict
from state.events import (
    OPS_LANE,
    BatchesPublished,
    BatchSuperseded,
    CheckpointSet,
    Event,
    Paused,
    Position,
    Resumed,
)
from state.fold import LaneState, Statement
from state.journal import BatchQuery, Journal
from state.ledger import LaneLedger

MAX_CONFLICTS = 50
"""Tries of one call: a run at full speed writes a few entries a second, and whoever comes between ends it."""
PAUSE_S = 0.02
PAGE = 200
ORDERED = ("offset", "high_water_mark")
"""Paginations whose cursors can be compared."""


@dataclass(frozen=True, slots=True)
class ControlPorts:
    """The outside. `publish` tells the ledger table statements of a lane (raises `AppendError`), `publish_operators`
    those of lane `ops`. `pagination`, `start` and `partitions` are the configured ones; `log` is that of a lane.
    """

    journal: Journal
    open_ledger: Callable[[str], LaneLedger]
    publish: Callable[[str, Sequence[Statement]], None]
    publish_operators: Callable[[], None]
    pagination: str
    start: str | None
    partitions: int
    sleep: Callable[[float], None]
    log: Callable[[str], Log]


@dataclass(frozen=True, slots=True)
class Controlled:
    """What came of it: the lane's state, what was done in one line, and whether anything was written. `unpublished`
    says why the ledger table does not know of it yet; empty: it does.
    """

    lane: str
    state: LaneState
    text: str
    is_changed: bool = True
    unpublished: str = ""


Decide = Callable[[LaneState], Sequence[Event]]


class LaneControl:
    """Changes lanes in a person's name. Every method raises `Refused` and `LedgerError`s, and nothing is half done."""

    def __init__(self, ports: ControlPorts) -> None:
        self._ports = ports

    def pause(self, lane: str, *, actor: str, reason: str) -> Controlled:
        """Let runs of the lane answer skipped from now on. A lane that is paused already stays as it is."""
        _require(actor, reason)
        done = self._write(lane, lambda s: () if s.paused else (Paused(actor=actor, reason=reason),))
        if not done.is_changed:
            return replace(done, text=f"lane {lane} is paused already: {done.state.pause_reason}")
        self._ports.log(lane)(LogName.LANE_PAUSED, actor=actor, reason=reason)
        return replace(done, text=f"lane {lane} is paused; a run at work on it stops at its next ledger write")

    def resume(self, lane: str, *, actor: str) -> Controlled:
        """Let runs of the lane read again. A lane that is not paused stays as it is."""
        _require(actor, "-")
        done = self._write(lane, lambda s: (Resumed(actor=actor),) if s.paused else ())
        if not done.is_changed:
            return replace(done, text=f"lane {lane} is not paused")
        self._ports.log(lane)(LogName.LANE_RESUMED, actor=actor)
        return replace(done, text=f"lane {lane} goes on with its next run")

    def set_checkpoint(self, lane: str, *, to: str, actor: str, reason: str, never_passed: bool = False) -> Controlled:
        """Skip what lies between the lane's checkpoint and the page at cursor `to`, for good.

        Where cursors can be compared it goes forward only. An opaque one is taken when the person vouches that the lane
        `never_passed` it and the ledger holds nothing against it. To read something again there are backfills.
        """
        _require(actor, reason)

        def decide(state: LaneState) -> Sequence[Event]:
            self._require_ahead(lane, state, to, never_passed=never_passed)
            why = f"{actor} set the checkpoint: {reason}"
            moved = CheckpointSet(actor=actor, reason=reason, to=Position(to), never_passed=never_passed)
            return (*(BatchSuperseded(batch_id=b.batch_id, reason=why) for b in state.unsettled), moved)

        done = self._write(lane, decide)
        self._ports.log(lane)(LogName.CHECKPOINT_SET, actor=actor, reason=reason, checkpoint=to)
        return replace(done, text=f"lane {lane} reads on at {to}; what lies before it is not read")

    def _write(self, lane: str, decide: Decide) -> Controlled:
        """Publish what is owed, write what is decided on the state as it is then, publish what that owes."""
        self._require_known(lane)
        ledger = self._ports.open_ledger(lane)
        ledger.open()
        through, why = self._publish(lane, ledger.state)
        for _ in range(MAX_CONFLICTS):
            events = decide(ledger.state)
            if not events:
                return Controlled(lane, ledger.state, "", is_changed=False, unpublished=why)
            is_told = any(owed.version <= through for owed in ledger.state.outbox)
            said = (BatchesPublished(through=through),) if is_told else ()
            try:
                ledger.append([*said, *events], run_id="")
            except VersionConflict:
                self._ports.sleep(PAUSE_S)
                ledger.refold()
                continue
            why = self.acknowledge(lane, ledger)
            return Controlled(lane, ledger.state, "", unpublished=why)
        raise LedgerUnavailable(f"lane {lane}: others wrote {MAX_CONFLICTS} times in a row; try again")

    def acknowledge(self, lane: str, ledger: LaneLedger) -> str:
        """Publish what the lane owes after what was written, and journal that. Return why that failed; empty: done."""
        through, why = self._publish(lane, ledger.state)
        if through:
            try:
                ledger.append([BatchesPublished(through=through)], run_id="")
            except VersionConflict:  # a run took the lane; it publishes what is owed
                return why
        return why

    def _publish(self, lane: str, state: LaneState) -> tuple[int, str]:
        try:
            self._ports.publish_operators()
            if state.outbox:
                self._ports.publish(lane, state.outbox)
        except AppendError as error:
            return 0, str(error)
        return (state.outbox[-1].version if state.outbox else 0), ""

    def _require_known(self, lane: str) -> None:
        if lane == OPS_LANE:
            raise Refused(f"lane {lane} is the operators': nothing is read on it")
        is_partition = lane.isdecimal() and int(lane) < self._ports.partitions
        if not is_partition and lane not in self._ports.journal.read_lanes():
            raise Refused(f"there is no lane {lane}; `ingestor status` names them")

    def _require_ahead(self, lane: str, state: LaneState, to: str, *, never_passed: bool) -> None:
        if self._ports.pagination == "none":
            raise Refused("a source without pages (SOURCE_PAGINATION=none) has no cursors: there is nothing to set")
        at = state.checkpoint or Position(self._ports.start)
        if self._ports.pagination in ORDERED:
            if not is_ahead(self._ports.pagination, to, at):
                raise Refused(
                    f"lane {lane} is at {at.cursor or 'the start'}, and {to} is not ahead of it; "
                    "to read something again, backfill it"
                )
        elif not never_passed:
            raise Refused(
                f"the cursors of SOURCE_PAGINATION={self._ports.pagination} cannot be compared: say --never-passed if "
                f"lane {lane} has certainly never been at {to}; to read something again, backfill it"
            )
        elif passed := self._passed(lane, state, to):
            raise Refused(f"lane {lane} has passed {to}: {passed}; to read something again, backfill it")

    def _passed(self, lane: str, state: LaneState, to: str) -> str:
        """Return how the ledger knows that the lane was at a cursor; empty when it does not."""
        places = [state.checkpoint, *(place for batch in state.unsettled for place in (batch.start, batch.end))]
        if any(place is not None and place.cursor == to for place in places):
            return "it is there now"
        if state.checkpoint is not None and to == self._ports.start:
            return "it began there"
        query = BatchQuery(lane=lane)
        while page := self._ports.journal.list_batches(query, limit=PAGE):
            for batch in page:
                if to in {batch["start"]["cursor"], batch["end"]["cursor"]}:
                    return f"batch {batch['batch_id']} begins or ends there"
            query = query.following(page[-1])
        return ""


def is_ahead(pagination: str, to: str, at: Position) -> bool:
    """Tell whether a cursor of an ordered pagination lies beyond a position.

    Raises:
        Refused: an offset that is no whole number.
    """
    if pagination == "offset":
        if not to.isdecimal():
            raise Refused(f"{to!a} is no offset: give a whole number")
        return int(to) > int(at.cursor or 0) + at.taken
    return at.cursor is None or not mark_reaches(at.cursor, to)


def _require(actor: str, reason: str) -> None:
    if not actor:
        raise Refused("a lane changes only by somebody's name; say who (--actor)")
    if not reason.strip():
        raise Refused("this needs a reason; give one with --reason")
