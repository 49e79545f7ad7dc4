"""How a run becomes its lane's run, and when it does not: a live run, a pause, other partitions, a lane aged out."""

from contextlib import suppress
from dataclasses import dataclass

from ingestor.errors import ConfigurationError
from ingestor.paging import shown_cursor
from ingestor.ports import Plan, Ports, Range
from state.errors import VersionConflict
from state.events import BatchesPublished, RunStarted
from state.fold import LaneState
from state.ledger import Opened


@dataclass(frozen=True, slots=True)
class Taken:
    """The lane is this run's: its state with `run_started`, the documents written for it, and when (monotonic s)."""

    lane: LaneState
    writes: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Left:
    """The lane is not this run's now, and why; nothing is wrong."""

    lane: LaneState
    reason: str


def take_lane(ports: Ports, plan: Plan) -> Taken | Left:
    """Write `run_started`, unless a run is alive (and not to be taken over), wins the race, or the lane is paused.

    A paused lane's statements are published all the same. `deaths` of what comes back counts the runs in a row that
    ended without a word at the lane's checkpoint.

    Raises:
        ConfigurationError: SOURCE_PARTITIONS is not what the pipeline's lanes were read with, or the range is another.
        Refused: the lane is unfinished beyond its retention.
        AppendError: a paused lane's statements were not taken.
        LedgerError: the ledger could not be read or written.
    """
    opened = ports.ledger.open()
    while True:
        _require_same_partitions(ports, opened.state, plan)
        _require_same_range(opened.state, plan)
        if opened.state.paused:
            _publish_owed(ports, opened.state)
            return Left(opened.state, f"lane {plan.lane} is paused: {opened.state.pause_reason}")
        if opened.is_live(plan.stale_s) and not plan.takeover:
            return Left(opened.state, f"run {opened.state.run_id} is alive on lane {plan.lane}")
        at_s = ports.clock.monotonic()
        try:
            landed = ports.ledger.append([_started(plan, opened)], run_id=plan.run_id)
        except VersionConflict:
            opened = ports.ledger.refold()
            continue
        return Taken(landed.state, landed.writes, at_s)


def _started(plan: Plan, opened: Opened) -> RunStarted:
    return RunStarted(
        run_id=plan.run_id,
        trigger=plan.trigger,
        takeover=opened.state.run_open,
        code_version=plan.code_version,
        partitions=plan.partitions,
        range_from=plan.range.start,
        range_to=plan.range.to,
        range_partition=plan.range.partition,
    )


def _require_same_partitions(ports: Ports, lane: LaneState, plan: Plan) -> None:
    """Other partitions are other lanes: a record may move from one to another, past the one's checkpoint."""
    if not plan.lane.isdecimal():
        return
    known = lane.partitions or (0 if lane.version else ports.partitions_of_others())
    if known not in {0, plan.partitions}:
        raise ConfigurationError(
            f"SOURCE_PARTITIONS: is {plan.partitions}, but pipeline {plan.pipeline} was read with {known}, and its "
            f"checkpoints mean nothing for other partitions: set it back to {known}, or let every lane finish, pause "
            "them, and start a pipeline of its own under another PIPELINE_ID with a SOURCE_START"
        )


def _require_same_range(lane: LaneState, plan: Plan) -> None:
    """A lane's checkpoint means nothing for another range; a name stands for one range for good."""
    known = Range(lane.range_from, lane.range_to, lane.range_partition)
    if lane.partitions and known != plan.range:
        raise ConfigurationError(
            f"lane {plan.lane} is that of the range from {shown_cursor(known.start)} to {shown_cursor(known.to)} of "
            f"partition {known.partition}: go on with that range, or choose another name for this one (--lane)"
        )


def _publish_owed(ports: Ports, lane: LaneState) -> None:
    """Publish what a paused lane and the operators owe; say so, so that the next trigger does not publish again."""
    ports.publish(lane.outbox)
    if lane.outbox:
        with suppress(VersionConflict):  # the lane moved on; whoever moved it publishes
            ports.ledger.append([BatchesPublished(through=lane.outbox[-1].version)], run_id="")
    ports.publish_operators()
