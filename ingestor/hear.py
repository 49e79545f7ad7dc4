"""How the run's state takes in a signal: facts only, no decisions. Pure; `loop` decides."""

from dataclasses import replace
from typing import assert_never

from ingestor.answers import hear_answer, hear_end, hear_table
from ingestor.lognames import LogName
from ingestor.progress import Decided, Held, Phase, Progress, Stage, Stored, drain
from ingestor.signals import (
    Answered,
    Command,
    ConnectionEnded,
    DeadStored,
    EntryLanded,
    Instant,
    LaneClosed,
    LedgerLost,
    Note,
    OutOfMemory,
    PageArrived,
    PageFailed,
    Published,
    PublishFailed,
    RejectsStored,
    Signal,
    StopAsked,
    StoreFailed,
    TableAsked,
    Ticked,
)
from ingestor.unread import boundary_after, moved, unread
from state.events import (
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchesPublished,
    BatchSuperseded,
    RecordsRejected,
    RunFailed,
    RunFinished,
)
from state.fold import LaneState


def hear(state: Progress, signal: Signal, now: Instant) -> Decided:  # noqa: C901, PLR0911, PLR0912 - a case per signal
    """Take the signal in; the commands are only what must be logged of it."""
    match signal:
        case PageArrived():
            return _page(state, signal, now)
        case PageFailed():
            stale = signal.reading != state.reading
            return (state, ()) if stale else (drain(state, now, failure=signal.error), ())
        case OutOfMemory():
            raise MemoryError
        case Answered():
            return hear_answer(state, signal.batch_id, signal.outcome, now)
        case ConnectionEnded():
            return hear_end(state, signal.outcome, now)
        case TableAsked():
            return hear_table(state, signal.batch_id, now, exists=signal.exists)
        case RejectsStored():
            return _stored(state, signal.batch_id, signal.stage, Stored(signal.object, signal.generation)), ()
        case DeadStored():
            return _stored(state, signal.batch_id, "dead", Stored(signal.object, signal.generation)), ()
        case StoreFailed():
            note = Note(LogName.DEADLETTER_FAILED, "ERROR", {"batch_id": signal.batch_id, "error": signal.error})
            return drain(replace(state, store_failed=True), now, failure=signal.error, halt_sends=True), (note,)
        case EntryLanded():
            return _landed(state, signal.lane, signal.writes)
        case LedgerLost():
            return replace(state, phase=Phase.OVER, failure=state.failure or signal.error, status="failed"), ()
        case LaneClosed():
            return replace(state, phase=Phase.OVER, stop=state.stop or signal.reason, status="partial"), ()
        case Published():
            return _published(state, signal.through, now), ()
        case PublishFailed():
            return drain(replace(state, publishing=False, publish_failed=True), now, failure=signal.error), ()
        case StopAsked():
            return drain(state, now, stop=signal.reason, grace_s=signal.grace_s), ()
        case Ticked():
            return state, ()
        case _:
            assert_never(signal)


def _page(state: Progress, signal: PageArrived, now: Instant) -> Decided:
    if signal.reading != state.reading or state.phase is not Phase.READING:
        return state, ()
    page = signal.page
    rest, known, changed = unread(page, state.boundary)
    if moved(rest, state.boundary):
        return drain(state, now, failure=_moved(page.cursor)), ()
    state = replace(
        state,
        granted=max(0, state.granted - 1) if page.next_cursor is not None else 0,
        source_ended=page.next_cursor is None,
        boundary=boundary_after(rest, state.boundary),
        unread=(*state.unread, rest),
    ).count(pages=1, known=known, changed=changed)
    notes = [
        Note(LogName.PAGE_READ, "DEBUG", {"rows": len(page.records), "bytes": page.size_bytes,
                                          "latency_ms": page.latency_ms, "attempts": page.attempts})
    ]  # fmt: skip
    if changed:
        # Where places go by what records say, a changed record stands elsewhere now: such sources work that way.
        severity = "WARNING" if page.trail is None and not page.whole else "INFO"
        notes.append(Note(LogName.SOURCE_CHANGED, severity, {"rows": changed}))
    return state, tuple(notes)


def _moved(cursor: str | None) -> str:
    return (
        f"the source's records moved: the one at offset {cursor} is not the one that was taken last, so counting on "
        "would lose or repeat some: have the source send new ones last, then set the offset to go on from by "
        "`ingestor checkpoint set --to C --reason R`"
    )


def _stored(state: Progress, batch_id: str, what: str, stored: Stored) -> Progress:
    def keep(held: Held) -> Held:
        stage = Stage.DEAD if what == "dead" else held.stage
        return replace(held, stored={**held.stored, what: stored}, stage=stage)

    return state.with_held(batch_id, keep).count(objects=1)


def _landed(state: Progress, lane: LaneState, writes: int) -> Decided:
    """The entry is durable: what it announced may be sent, what it settled is done."""
    events = state.writing
    state = replace(state, lane=lane, writing=(), last_entry_at=state.write_started_at).count(ledger_writes=writes)
    notes = list[Command]()
    for event in events:
        match event:
            case BatchAttempted():
                state = state.with_held(event.batch_id, _announced)
                state = state.count(taken=event.rows + event.rejected, batches_attempted=1)
            case BatchCommitted():
                state = _settled(state, event)
                notes.append(_committed_note(state, event))
            case BatchDeadLettered():
                state = _buried(state, event)
                notes.append(_dead_note(event))
            case RecordsRejected():
                notes.append(_rejected_note(event))
            case BatchSuperseded():
                state = _superseded(state)
                notes.append(Note(LogName.BATCH_SUPERSEDED, "WARNING", {"batch_id": event.batch_id}))
            case RunFinished():
                state = replace(state, phase=Phase.OVER, status=event.status)
            case RunFailed():
                state = replace(state, phase=Phase.OVER, status="failed")
            case _:
                pass
    return state, tuple(notes)


def _superseded(state: Progress) -> Progress:
    gone, records = state.carried[0], state.carried[0].rows + state.carried[0].rejected
    state = replace(state, carried=tuple(b for b in state.carried if b is not gone))
    return state.count(taken=records, rows_superseded=records, batches_superseded=1)


def _committed_note(state: Progress, event: BatchCommitted) -> Note:
    checkpoint = state.lane.checkpoint
    return Note(
        LogName.BATCH_COMMITTED,
        "INFO",
        {
            "batch_id": event.batch_id,
            "rows": event.rows,
            "attempts": event.attempts,
            "latency_ms": event.latency_ms,
            "checkpoint": checkpoint.cursor if checkpoint else None,
        },
    )


def _rejected_note(event: RecordsRejected) -> Note:
    return Note(
        LogName.RECORD_REJECTED,
        "WARNING",
        {"batch_id": event.batch_id, "rows_rejected": len(event.indexes), "stage": event.stage},
    )


def _announced(held: Held) -> Held:
    return replace(held, stage=Stage.READY if held.batch.rows else Stage.ANSWERED)


def _settled(state: Progress, event: BatchCommitted) -> Progress:
    held = next(h for h in state.held if h.batch.batch_id == event.batch_id)
    attempted = held.batch.attempted
    carried = attempted.rows + attempted.rejected if event.batch_id in state.carried_ids else 0
    state = replace(state, held=tuple(h for h in state.held if h is not held))
    return state.count(
        taken=carried,
        rows_committed=event.rows,
        rows_rejected=len(held.batch.rejected) + len(held.refused),
        batches_committed=1,
    )


def _buried(state: Progress, event: BatchDeadLettered) -> Progress:
    held = next(h for h in state.held if h.batch.batch_id == event.batch_id)
    attempted, refused = held.batch.attempted, len(held.refused)
    carried = attempted.rows + attempted.rejected if event.batch_id in state.carried_ids else 0
    state = replace(state, held=tuple(h for h in state.held if h is not held))
    return state.count(
        taken=carried,
        rows_dead_lettered=attempted.rows - refused,
        rows_rejected=attempted.rejected + refused,
        batches_dead_lettered=1,
    )


def _dead_note(event: BatchDeadLettered) -> Note:
    return Note(
        LogName.BATCH_DEAD_LETTERED,
        "ERROR",
        {"batch_id": event.batch_id, "code": event.code, "attempts": event.attempts, "fingerprint": event.fingerprint},
    )


def _published(state: Progress, through: int, now: Instant) -> Progress:
    return replace(
        state,
        publishing=False,
        published=through,
        last_published_at=now.monotonic_s,
        ready=(*state.ready, BatchesPublished(through=through)),
    )
