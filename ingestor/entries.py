"""What goes into the journal, and when: few entries, little waiting. Rules of the run's loop; pure.

One entry is written at a time and carries everything that is ready (group commit), so the ledger costs a few round
trips a second whatever the number of batches.
"""

from dataclasses import replace

from ingestor.lognames import LogName
from ingestor.outcome import fingerprint, normalised
from ingestor.progress import STAGES, Decided, Held, Phase, Progress, Stage
from ingestor.signals import Instant, Note, WriteEntry
from state.events import BatchAttempted, BatchCommitted, BatchDeadLettered, Event, RecordsRejected

LINGER_S = 0.2
"""An event waits this long for others to share its journal entry when nothing else needs the entry sooner."""
ENTRY_EVENT_BYTES = 800_000
"""Events of one entry; Firestore's documents end at 1 MiB, and the design's entries at 900 KiB."""
ENTRY_DIGEST_BYTES = 2_500_000
"""Row digests of one commit, which must stay under 4 MiB in all."""


def settle(state: Progress, now: Instant) -> Decided:
    """Journal the outcomes of the longest answered prefix whose rejected records are durable."""
    if state.phase is Phase.CLOSING:
        return state, ()
    for held in state.held:
        if held.stage is Stage.RECORDING:
            continue
        if held.stage not in {Stage.ANSWERED, Stage.DEAD} or not held.rejects_durable:
            break
        state = enqueue(state, now, *_outcome_events(held))
        state = state.with_held(held.batch.batch_id, lambda h: replace(h, stage=Stage.RECORDING))
        state = _judge(state, held)
    return state, ()


def _judge(state: Progress, held: Held) -> Progress:
    """Count for the fuse, in lane order: what was refused, and whether anything of this batch was taken."""
    attempted = held.batch.attempted
    records = attempted.rows + attempted.rejected
    dead = records if held.stage is Stage.DEAD else 0
    rejected = 0 if dead else attempted.rejected + len(held.refused)
    return replace(
        state,
        judged_batches=state.judged_batches + 1,
        judged=state.judged + records,
        judged_rejected=state.judged_rejected + rejected,
        judged_dead=state.judged_dead + dead,
        refused_in_a_row=state.refused_in_a_row + 1 if dead + rejected == records else 0,
    )


def _outcome_events(held: Held) -> tuple[Event, ...]:
    """Return what settles the batch: its rejected records first, then its outcome."""
    rejected = tuple(
        RecordsRejected(
            batch_id=held.batch.batch_id,
            stage=stage,
            indexes=tuple(item.index for item in held.rejected_at(stage)),
            object=held.stored[stage].object,
            generation=held.stored[stage].generation,
        )
        for stage in STAGES
        if held.rejected_at(stage)
    )
    outcome = _dead_letter(held) if held.stage is Stage.DEAD else _commit(held)
    return (*rejected, outcome)


def _commit(held: Held) -> BatchCommitted:
    attempted = held.batch.attempted
    return BatchCommitted(
        batch_id=attempted.batch_id,
        rows=attempted.rows - len(held.refused),
        attempts=held.attempts,
        latency_ms=held.latency_ms,
    )


def _dead_letter(held: Held) -> BatchDeadLettered:
    assert held.failure is not None  # noqa: S101 - nothing dies without a reason
    outcome = held.failure
    return BatchDeadLettered(
        batch_id=held.batch.batch_id,
        kind=held.kind,
        code=outcome.code,
        storage_error=outcome.storage_error,
        error=normalised(outcome.message),
        fingerprint=fingerprint(outcome),
        attempts=held.attempts,
        object=held.stored["dead"].object,
        generation=held.stored["dead"].generation,
    )


def attempt(state: Progress, now: Instant) -> Decided:
    """Announce every batch that was cut."""
    if state.phase is not Phase.READING:
        return state, ()
    for held in state.at_stage(Stage.CUT):
        state = enqueue(state, now, held.batch.attempted)
        state = state.with_held(held.batch.batch_id, lambda h: replace(h, stage=Stage.ATTEMPTING))
    return state, ()


def write(state: Progress, now: Instant) -> Decided:
    """Write one entry with everything that is ready, when it is worth one."""
    if state.writing or not state.ready or not _entry_due(state, now):
        return state, ()
    count = _entry_length(state)
    writing = state.ready[:count]
    digests = {event.batch_id: _digests(state, event) for event in writing if isinstance(event, BatchAttempted)}
    state = replace(
        state,
        writing=writing,
        ready=state.ready[count:],
        ready_since=now.monotonic_s,
        write_started_at=now.monotonic_s,
    )
    return state, (WriteEntry(writing, digests), *(_announcement(e) for e in writing if isinstance(e, BatchAttempted)))


def _entry_length(state: Progress) -> int:
    """Return how many of the ready events fit one entry. A rejection stays with the outcome that follows it."""
    size, digest_bytes = 0, 0
    for at, event in enumerate(state.ready):
        size, digest_bytes = size + _stored_bytes(event), digest_bytes + len(_digests(state, event))
        follows = at > 0 and isinstance(state.ready[at - 1], RecordsRejected)
        if at and not follows and (size > ENTRY_EVENT_BYTES or digest_bytes > ENTRY_DIGEST_BYTES):
            return at
    return len(state.ready)


def _entry_due(state: Progress, now: Instant) -> bool:
    """Few entries, little waiting: at once when the connection would idle without it or half a window has gathered."""
    half = max(1, state.settings.max_in_flight // 2)
    attempts = sum(isinstance(e, BatchAttempted) for e in state.ready)
    outcomes = sum(isinstance(e, BatchCommitted | BatchDeadLettered) for e in state.ready)
    sendable = state.at_stage(Stage.SENT, Stage.READY)
    return (
        attempts >= half
        or outcomes >= half
        or (attempts > 0 and len(sendable) < half)
        or (attempts == 0 and not sendable)
        or state.phase is not Phase.READING
        or now.monotonic_s >= state.ready_since + LINGER_S
    )


def enqueue(state: Progress, now: Instant, *events: Event) -> Progress:
    """Add events to what the next entry will hold."""
    since = state.ready_since if state.ready else now.monotonic_s
    return replace(state, ready=(*state.ready, *events), ready_since=since)


def _stored_bytes(event: Event) -> int:
    """Roughly what an event takes in its entry."""
    match event:
        case BatchAttempted():
            return 600 + len(event.tail) * 4 // 3
        case RecordsRejected():
            return 300 + 9 * len(event.indexes)
        case _:
            return 600


def _digests(state: Progress, event: Event) -> bytes:
    if not isinstance(event, BatchAttempted):
        return b""
    return next((h.batch.digests for h in state.held if h.batch.batch_id == event.batch_id), b"")


def _announcement(event: BatchAttempted) -> Note:
    return Note(
        LogName.BATCH_ATTEMPTED, "DEBUG", {"batch_id": event.batch_id, "rows": event.rows, "bytes": event.bytes}
    )
