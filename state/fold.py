"""The lane's state as a fold of its journal: pure, total, and the only definition of what the events mean.

The checkpoint is computed here and stored nowhere as truth; the lane document is only a snapshot of this state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from state.errors import CorruptHistory
from state.events import (
    DIGEST_SIZE,
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchDiscarded,
    BatchesPublished,
    BatchReopened,
    BatchSuperseded,
    CheckpointSet,
    Event,
    LaneRecovered,
    Paused,
    Position,
    ReceiptClosed,
    ReceiptOpened,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
    Resumed,
    RunFailed,
    RunFinished,
    RunHeartbeat,
    RunStarted,
)
from state.journal import from_page_key, page_key

STALLED_RUNS = 3
"""Runs in a row that may end without a word at one checkpoint before what they read is suspected."""
NEWEST = 51
"""Attempts that a lane's state names: a page of the operators' list, and one more that tells that there are more."""
StatementStatus = Literal["COMMITTED", "SUPERSEDED", "DISCARDED"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What the ledger table must say of a batch: a row of `{table}_ledger` not yet acknowledged there."""

    batch_id: str
    status: StatementStatus
    rows: int
    version: int
    run_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Moment:
    """The entry that carries an event: its version in the lane, the run that wrote it (empty: a person) and its
    writer's wall clock in microseconds (a label; it orders nothing).
    """

    version: int
    run_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Systemic:
    """The failure that would meet every batch, as its first dead-lettered batch met it: open until a run finishes."""

    code: str
    error: str
    fingerprint: str
    run_id: str
    version: int
    at_us: int


@dataclass(frozen=True, slots=True)
class LaneState:
    """Everything a run needs to go on. Its size depends on the last run, never on the lane's age."""

    version: int = 0
    """Version of the last entry; 0 before the first."""
    head: str = ""
    """Hash of the last entry; empty before the first."""
    checkpoint: Position | None = None
    """End of the longest settled prefix; None before the first settled batch."""
    boundary: bytes = b""
    """Packed record digests of the `checkpoint.taken` records taken of the page at `checkpoint.cursor`."""
    epoch: int = 0
    """Version of the last superseding; part of the id of every batch cut since."""
    unsettled: tuple[BatchAttempted, ...] = ()
    """In doubt, in lane order."""
    outbox: tuple[Statement, ...] = ()
    """Statements not yet acknowledged by the ledger table, by version."""
    run_id: str = ""
    run_version: int = 0
    """Version of the newest entry a run wrote."""
    run_open: bool = False
    """Whether that run has neither finished nor failed."""
    systemic: Systemic | None = None
    """Set by the first systemic dead letter, cleared when a run finishes: the next run probes before it reads."""
    paused: bool = False
    pause_reason: str = ""
    deaths: int = 0
    """Runs in a row that began at this checkpoint and ended without a word, none of them having settled anything."""
    partitions: int = 0
    """SOURCE_PARTITIONS of the newest run; 0 before the first."""
    range_from: str = ""
    range_to: str = ""
    """Of a backfill's lane: the cursors between which it reads, of the source's partition `range_partition`."""
    range_partition: int = 0
    newest: tuple[str, ...] = ()
    """`page_key`s of the batches attempted last, by time and id, the newest first: what a list of all batches begins
    with. No run needs it. Of a lane that older code began, those attempted since."""


def evolve(state: LaneState, event: Event, moment: Moment) -> LaneState:  # noqa: C901, PLR0911, PLR0912 - one a kind
    """Return the state after one more event.

    Raises:
        CorruptHistory: the event cannot follow this state (an outcome out of lane order, a batch of another epoch, a
            boundary that does not match its position). Nothing that this software writes can cause it; a writer that
            tries is stopped by it.
    """
    match event:
        case RunStarted():
            return _start(state, event)
        case BatchAttempted():
            return _attempt(state, event, moment)
        case BatchCommitted():
            return _owe(_settle(state, event), event.batch_id, "COMMITTED", moment, rows=event.rows)
        case BatchDeadLettered():
            settled = _settle(state, event)
            return _systemic(settled, event, moment) if event.kind == "systemic" else settled
        case BatchSuperseded():
            _first_unsettled(state, event.batch_id)
            left = replace(state, unsettled=state.unsettled[1:], epoch=moment.version)
            return _owe(left, event.batch_id, "SUPERSEDED", moment)
        case BatchesPublished():
            return replace(state, outbox=tuple(s for s in state.outbox if s.version > event.through))
        case RunFinished():
            return replace(state, run_open=False, systemic=None, deaths=STALLED_RUNS if event.isolate else 0)
        case RunFailed():  # it tells nothing of what runs before it died of
            return replace(state, run_open=False, deaths=state.deaths if state.deaths >= STALLED_RUNS else 0)
        case Paused():  # the run that meets it writes nothing more
            return replace(state, paused=True, pause_reason=event.reason, run_open=False)
        case Resumed():
            return replace(state, paused=False, pause_reason="")
        case CheckpointSet():
            return _set_checkpoint(state, event)
        case LaneRecovered():
            return _recover(state, event, moment)
        case ReplaySucceeded():
            return _owe(state, event.batch_id, "COMMITTED", moment, rows=event.rows)
        case BatchDiscarded():
            return _owe(state, event.batch_id, "DISCARDED", moment)
        case RunHeartbeat() | RecordsRejected() | ReplayStarted() | ReplayFailed() | BatchReopened():
            return state
        case RecordReplayed() | RecordDiscarded() | ReceiptOpened() | ReceiptClosed():
            return state
        case _:
            assert_never(event)


def fold(state: LaneState, events: Iterable[Event], moment: Moment, head: str) -> LaneState:
    """Apply one entry, its events in order, and move on to its version and hash."""
    told = tuple(events)
    if moment.version != state.version + 1 and not (leaps(told) and moment.version > state.version):
        message = f"entry {moment.version} follows entry {state.version}"
        raise CorruptHistory(message)
    for event in told:
        state = evolve(state, event, moment)
    state = replace(state, version=moment.version, head=head)
    return replace(state, run_version=moment.version) if moment.run_id else state


def leaps(events: Iterable[Event]) -> bool:
    """Tell whether the entry of these events may stand above a gap: a recovery does, above all that was published."""
    return any(isinstance(event, LaneRecovered) for event in events)


def _start(state: LaneState, event: RunStarted) -> LaneState:
    return replace(
        state,
        run_id=event.run_id,
        run_open=True,
        deaths=state.deaths + state.run_open,
        partitions=event.partitions,
        range_from=event.range_from,
        range_to=event.range_to,
        range_partition=event.range_partition,
    )


def _set_checkpoint(state: LaneState, event: CheckpointSet) -> LaneState:
    if state.unsettled:
        message = f"the checkpoint is set, but batch {state.unsettled[0].batch_id} is in doubt"
        raise CorruptHistory(message)
    return replace(state, checkpoint=event.to, boundary=b"", run_open=False, deaths=0)


def _recover(state: LaneState, event: LaneRecovered, moment: Moment) -> LaneState:
    state = replace(state, unsettled=(), epoch=moment.version, run_open=False, deaths=0)
    for batch_id in (*event.batch_ids, *event.forgotten_ids):
        state = _owe(state, batch_id, "SUPERSEDED", moment)
    return state


def _attempt(state: LaneState, event: BatchAttempted, moment: Moment) -> LaneState:
    if event.epoch != state.epoch:
        message = f"batch {event.batch_id} attempted in epoch {event.epoch}, but the lane is in epoch {state.epoch}"
        raise CorruptHistory(message)
    if any(batch.batch_id == event.batch_id for batch in state.unsettled):
        message = f"batch {event.batch_id} attempted twice"
        raise CorruptHistory(message)
    others = (key for key in state.newest if from_page_key(key)[1] != event.batch_id)
    newest = sorted((page_key(moment.at_us, event.batch_id), *others), reverse=True)[:NEWEST]
    return replace(state, unsettled=(*state.unsettled, event), newest=tuple(newest))


def _first_unsettled(state: LaneState, batch_id: str) -> BatchAttempted:
    if not state.unsettled or state.unsettled[0].batch_id != batch_id:
        expected = state.unsettled[0].batch_id if state.unsettled else "none"
        message = f"outcome of batch {batch_id}, but the first unsettled batch is {expected}"
        raise CorruptHistory(message)
    return state.unsettled[0]


def _settle(state: LaneState, event: BatchCommitted | BatchDeadLettered) -> LaneState:
    batch = _first_unsettled(state, event.batch_id)
    if batch.epoch != state.epoch:  # an earlier batch was superseded: settling would pass over its records
        message = f"outcome of batch {batch.batch_id} of epoch {batch.epoch}, but the lane is in epoch {state.epoch}"
        raise CorruptHistory(message)
    boundary = _boundary(state, batch)
    return replace(state, checkpoint=batch.end, boundary=boundary, unsettled=state.unsettled[1:], deaths=0)


def _owe(state: LaneState, batch_id: str, status: StatementStatus, moment: Moment, *, rows: int = 0) -> LaneState:
    """Owe the ledger table a statement."""
    statement = Statement(batch_id, status, rows, moment.version, moment.run_id, moment.at_us)
    return replace(state, outbox=(*state.outbox, statement))


def _systemic(state: LaneState, event: BatchDeadLettered, moment: Moment) -> LaneState:
    met = Systemic(event.code, event.error, event.fingerprint, moment.run_id, moment.version, moment.at_us)
    return replace(state, systemic=state.systemic or met)


def _boundary(state: LaneState, batch: BatchAttempted) -> bytes:
    """Digests of what the page at the batch's end may hold again: the last `taken` of those known before it and its own
    tail, in the order of taking. On the same page all of them stay known.
    """
    known, needed = state.boundary + batch.tail, batch.end.taken * DIGEST_SIZE
    same_page = batch.end.taken > 0 and state.checkpoint is not None and state.checkpoint.cursor == batch.end.cursor
    if len(batch.tail) > needed or len(known) < needed or (same_page and len(known) != needed):
        message = f"batch {batch.batch_id} ends after {batch.end.taken} records of a page, {len(known)} digest bytes"
        raise CorruptHistory(message)
    return known[len(known) - needed :]
