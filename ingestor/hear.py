"""How the run's state takes in a signal: facts only, no decisions. Pure; `loop` decides."""

from dataclasses import replace
from typing import assert_never

from ingestor.batch import unread
from ingestor.lognames import LogName
from ingestor.outcome import Basic, Outcome
from ingestor.progress import Decided, Held, Phase, Progress, Stage
from ingestor.signals import (
    Answered,
    Command,
    ConnectionEnded,
    EntryLanded,
    Instant,
    LedgerLost,
    Note,
    PageArrived,
    PageFailed,
    Published,
    PublishFailed,
    RejectsStored,
    Signal,
    StopAsked,
    StoreFailed,
    Ticked,
)
from state.events import (
    BatchAttempted,
    BatchCommitted,
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
            return _page(state, signal)
        case PageFailed():
            stale = signal.reading != state.reading
            return (state, ()) if stale else (drain(state, now, failure=signal.error), ())
        case Answered():
            return _answer(state, signal, now)
        case ConnectionEnded():
            return _connection_ended(state, signal.outcome, now)
        case RejectsStored():
            stored = signal
            kept = state.with_held(
                stored.batch_id, lambda h: replace(h, object=stored.object, generation=stored.generation)
            )
            return kept, ()
        case StoreFailed():
            return drain(state, now, failure=signal.error, halt_sends=True), ()
        case EntryLanded():
            return _landed(state, signal.lane, signal.writes)
        case LedgerLost():
            return replace(state, phase=Phase.OVER, failure=state.failure or signal.error, status="failed"), ()
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


def drain(  # noqa: PLR0913 - why, and for how long
    state: Progress,
    now: Instant,
    *,
    failure: str | None = None,
    stop: str | None = None,
    grace_s: float | None = None,
    halt_sends: bool = False,
) -> Progress:
    """Take nothing new from here on. What was cut and never announced is dropped: the next run reads it again.

    The first failure is the run's failure. `grace_s` bounds what is still waited for (default: one append timeout).
    """
    grace = state.settings.append_timeout_s if grace_s is None else grace_s
    return replace(
        state,
        phase=Phase.DRAINING if state.phase is Phase.READING else state.phase,
        failure=state.failure or failure,
        stop=state.stop or stop,
        sends_halted=state.sends_halted or halt_sends,
        drain_until=min(state.drain_until, now.monotonic_s + grace),
        unread=(),
        held=tuple(h for h in state.held if h.stage is not Stage.CUT),
        diverged=False,
    )


def _page(state: Progress, signal: PageArrived) -> Decided:
    if signal.reading != state.reading or state.phase is not Phase.READING:
        return state, ()
    page = signal.page
    rest, known, changed = unread(page, state.boundary)
    state = replace(
        state,
        granted=max(0, state.granted - 1) if page.next_cursor is not None else 0,
        source_ended=page.next_cursor is None,
        boundary=b"",
        unread=(*state.unread, rest),
    ).count(pages=1, known=known, changed=changed)
    notes = [
        Note(LogName.PAGE_READ, "DEBUG", {"rows": len(page.records), "bytes": page.size_bytes,
                                          "latency_ms": page.latency_ms, "attempts": page.attempts})
    ]  # fmt: skip
    if changed:
        notes.append(Note(LogName.SOURCE_CHANGED, "WARNING", {"rows": changed}))
    return state, tuple(notes)


def _answer(state: Progress, signal: Answered, now: Instant) -> Decided:
    held = next((h for h in state.at_stage(Stage.SENT) if h.batch.batch_id == signal.batch_id), None)
    if held is None:
        return state, ()
    match signal.outcome.basic:
        case Basic.APPENDED:
            latency_ms = round((now.monotonic_s - held.sent_at) * 1000)
            rowless = replace(held.batch, rows=())  # acknowledged: the bytes need not be kept any longer
            done = replace(held, batch=rowless, stage=Stage.ANSWERED, latency_ms=latency_ms)
            return state.with_held(signal.batch_id, lambda _: done), ()
        case Basic.AGAIN:
            return _again(state, held, signal.outcome, now)
        case Basic.REFUSED:
            text = f"batch {signal.batch_id} was refused: {signal.outcome.code}: {signal.outcome.message}"
            ready = state.with_held(signal.batch_id, lambda h: replace(h, stage=Stage.READY))
            return drain(ready, now, failure=f"{text}; it stays in doubt and the next run tries again",
                         halt_sends=True), ()  # fmt: skip
        case _:
            assert_never(signal.outcome.basic)


def _connection_ended(state: Progress, outcome: Outcome, now: Instant) -> Decided:
    """Every batch in flight is unknown now: it goes again, on a new connection."""
    commands: tuple[Command, ...] = ()
    for held in state.at_stage(Stage.SENT):
        if outcome.basic is Basic.REFUSED:
            state = state.with_held(held.batch.batch_id, lambda h: replace(h, stage=Stage.READY))
            text = f"BigQuery ended the append call: {outcome.code}: {outcome.message}"
            state = drain(state, now, failure=f"{text}; batches in flight stay in doubt", halt_sends=True)
        else:
            state, notes = _again(state, held, outcome, now)
            commands += notes
    return state, commands


def _again(state: Progress, held: Held, outcome: Outcome, now: Instant) -> Decided:
    """Send the batch again after a pause, within its budget of attempts."""
    batch_id, settings = held.batch.batch_id, state.settings
    if held.attempts >= settings.max_attempts:
        state = state.with_held(batch_id, lambda h: replace(h, stage=Stage.READY))
        text = f"batch {batch_id} got no append in {held.attempts} attempts, last {outcome.code}: {outcome.message}"
        return drain(state, now, failure=f"{text}; it stays in doubt and the next run settles it", halt_sends=True), ()
    pause_s = settings.backoff(held.attempts)
    again = replace(held, stage=Stage.READY, not_before=now.monotonic_s + pause_s)
    note = Note(LogName.BATCH_RETRIED, "WARNING", {"batch_id": batch_id, "attempts": held.attempts,
                                                   "code": outcome.code})  # fmt: skip
    return state.with_held(batch_id, lambda _: again).count(retries=1), (note,)


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
        rows_rejected=len(held.batch.rejected),
        batches_committed=1,
        bytes_committed=attempted.bytes,
    )


def _published(state: Progress, through: int, now: Instant) -> Progress:
    return replace(
        state,
        publishing=False,
        published=through,
        last_published_at=now.monotonic_s,
        ready=(*state.ready, BatchesPublished(through=through)),
    )
