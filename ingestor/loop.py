"""The run's decisions: `step(state, signal, now) -> state, commands`. Pure, single-threaded, the same for real adapters
and for an explorer that chooses every order of events.

The rules below are applied after every signal, in this order, each looking only at the state:

1. deadline: stop reading when the time is up;
2. cut: build the next batch, first the ones that an earlier run left in doubt, at their own cuts;
3. read: keep one page in work and one ahead;
4. settle: journal outcomes in lane order, never one before every earlier batch is settled;
5. attempt: announce batches before they are sent;
6. publish, heartbeat, finish;
7. write: one journal entry at a time, several events in each;
8. send: within the window, and only while the lease is fresh.

A batch is sent only after its intent is durable, an outcome is journaled only after every row is acknowledged and every
rejected record is in the bucket, and nothing here trusts a clock for more than liveness.
"""

from collections.abc import Callable
from dataclasses import replace

from ingestor.cutting import cut_next, restart_reading, supersede_diverged
from ingestor.hear import drain, hear
from ingestor.lognames import LogName
from ingestor.progress import WINDOW_BYTES, Held, Phase, Progress, Settings, Stage
from ingestor.signals import (
    Command,
    Continue,
    CutConnection,
    GrantPage,
    Instant,
    Note,
    PublishStatements,
    SendBatch,
    Signal,
    StoreRejects,
    WriteEntry,
)
from ingestor.summary import ledger_summary
from state.events import (
    BatchAttempted,
    BatchCommitted,
    BatchesPublished,
    Event,
    RecordsRejected,
    RunFailed,
    RunFinished,
    RunHeartbeat,
)
from state.fold import LaneState

PAGES_AHEAD = 2
"""Pages granted or waiting: one in work, one prefetched."""
LINGER_S = 0.2
"""An event waits this long for others to share its journal entry when nothing else needs the entry sooner."""
ENTRY_EVENT_BYTES = 800_000
"""Events of one entry; Firestore's documents end at 1 MiB, and the design's entries at 900 KiB."""
ENTRY_DIGEST_BYTES = 2_500_000
"""Row digests of one commit, which must stay under 4 MiB in all."""
PUBLISH_STATEMENTS = 200
PUBLISH_EVERY_S = 15.0
DEADLINE_GRACE_S = 60.0
"""After RUN_DEADLINE_S (480) what is in flight gets this long; Cloud Run cuts at 600."""

Decided = tuple[Progress, tuple[Command, ...]]
Rule = Callable[[Progress, Instant], Decided]


def begin(settings: Settings, lane: LaneState, now: Instant) -> Decided:
    """Return the state of a run that has just journaled `run_started`, and its first commands.

    What the lane's outbox held then must be published already: the run's next entry says so.
    """
    state = Progress(
        settings=settings,
        lane=lane,
        carried=lane.unsettled,
        carried_ids=frozenset(b.batch_id for b in lane.unsettled),
        published=lane.version,
        ready=(BatchesPublished(through=lane.outbox[-1].version),) if lane.outbox else (),
        ready_since=now.monotonic_s,
        last_entry_at=now.monotonic_s,
        last_published_at=now.monotonic_s,
    )
    state, commands = restart_reading(state)
    state, more = _decide(state, now)
    return state, commands + more


def step(state: Progress, signal: Signal, now: Instant) -> Decided:
    """Take one signal in and decide. Once the run is over nothing changes any more."""
    if state.phase is Phase.OVER:
        return state, ()
    state, noted = hear(state, signal, now)
    state, commands = _decide(state, now)
    return state, noted + commands


def wake_after(state: Progress, now: Instant) -> float:
    """Return in how many seconds the loop must tick though no signal came: the nearest of its own times to come.

    Times that are past had their turn: every rule looks at the clock at every step.
    """
    settings = state.settings
    times = [
        state.last_entry_at + settings.stale_s / 6,
        state.drain_until,
        settings.deadline_at,
        state.ready_since + LINGER_S,
        state.last_published_at + PUBLISH_EVERY_S,
    ]
    times += [h.sent_at + settings.append_timeout_s for h in state.at_stage(Stage.SENT)]
    times += [h.not_before for h in state.at_stage(Stage.READY)]
    waits = [t - now.monotonic_s for t in times if t > now.monotonic_s]
    return min([*waits, settings.stale_s / 6])


def _decide(state: Progress, now: Instant) -> Decided:
    commands: tuple[Command, ...] = ()
    if state.phase is Phase.OVER:
        return state, commands
    for rule in _RULES:
        state, more = rule(state, now)
        commands += more
    return state, commands


def _deadline(state: Progress, now: Instant) -> Decided:
    if state.phase is Phase.READING and now.monotonic_s >= state.settings.deadline_at:
        state = drain(state, now, stop="RUN_DEADLINE_S is over", grace_s=DEADLINE_GRACE_S)
    return state, ()


def _cut(state: Progress, now: Instant) -> Decided:
    if state.phase is not Phase.READING:
        return state, ()
    if state.diverged:
        return supersede_diverged(state, now)
    if not _has_room(state):
        return state, ()
    before = len(state.held)
    state = cut_next(state, now)
    more = len(state.held) > before and state.unread
    return state, (Continue(),) if more and _has_room(state) else ()


def _has_room(state: Progress) -> bool:
    """Cut ahead by half a window and hold no more than twice the window: this is the backpressure to the source."""
    window = state.settings.max_in_flight
    waiting = [h for h in state.held if h.stage in {Stage.CUT, Stage.ATTEMPTING, Stage.READY}]
    held_bytes = sum(h.batch.attempted.bytes for h in state.held if h.batch.rows)
    return (
        len(waiting) < max(2, window // 2 + 1)
        and len(state.held) < 2 * window + 2
        and (held_bytes < 2 * WINDOW_BYTES or not state.held)
    )


def _read(state: Progress, now: Instant) -> Decided:
    del now
    if state.phase is not Phase.READING or state.source_ended or state.diverged:
        return state, ()
    grants = PAGES_AHEAD - len(state.unread) - state.granted
    if grants <= 0:
        return state, ()
    return replace(state, granted=state.granted + grants), (GrantPage(),) * grants


def _settle(state: Progress, now: Instant) -> Decided:
    """Journal the outcomes of the longest answered prefix whose rejected records are durable."""
    if state.phase is Phase.CLOSING:
        return state, ()
    for held in state.held:
        if held.stage is Stage.RECORDING:
            continue
        if held.stage is not Stage.ANSWERED or not held.rejects_durable:
            break
        state = _enqueue(state, now, *_outcome_events(held))
        state = state.with_held(held.batch.batch_id, lambda h: replace(h, stage=Stage.RECORDING))
    return state, ()


def _outcome_events(held: Held) -> tuple[Event, ...]:
    attempted = held.batch.attempted
    committed = BatchCommitted(
        batch_id=attempted.batch_id, rows=attempted.rows, attempts=held.attempts, latency_ms=held.latency_ms
    )
    if not held.batch.rejected:
        return (committed,)
    rejected = RecordsRejected(
        batch_id=attempted.batch_id,
        stage="encode",
        indexes=tuple(item.index for item in held.batch.rejected),
        object=held.object,
        generation=held.generation,
    )
    return (rejected, committed)


def _attempt(state: Progress, now: Instant) -> Decided:
    if state.phase is not Phase.READING:
        return state, ()
    for held in state.at_stage(Stage.CUT):
        state = _enqueue(state, now, held.batch.attempted)
        state = state.with_held(held.batch.batch_id, lambda h: replace(h, stage=Stage.ATTEMPTING))
    return state, ()


def _publish(state: Progress, now: Instant) -> Decided:
    owed = tuple(s for s in state.lane.outbox if s.version > state.published)
    if not owed or state.publishing or state.publish_failed:
        return state, ()
    due = len(owed) >= PUBLISH_STATEMENTS or now.monotonic_s >= state.last_published_at + PUBLISH_EVERY_S
    if not due and not _all_settled(state, now):
        return state, ()
    return replace(state, publishing=True), (PublishStatements(owed),)


def _heartbeat(state: Progress, now: Instant) -> Decided:
    quiet_s = now.monotonic_s - state.last_entry_at
    quiet = quiet_s >= state.settings.stale_s / 6 and not state.ready and not state.writing
    if quiet and state.phase is not Phase.CLOSING:
        state = _enqueue(state, now, RunHeartbeat(run_id=state.settings.run_id))
    return state, ()


def _finish(state: Progress, now: Instant) -> Decided:
    """End the run once nothing is left to do, or nothing more may be waited for."""
    if state.phase is Phase.CLOSING or not _all_settled(state, now) or state.publishing:
        return state, ()
    owed = any(s.version > state.published for s in state.lane.outbox)
    if owed and not state.publish_failed and now.monotonic_s < state.drain_until:
        return state, ()
    run_id, summary = state.settings.run_id, ledger_summary(state)
    last: Event
    if state.failure is not None:
        last = RunFailed(run_id=run_id, error=state.failure, summary=summary)
    else:
        last = RunFinished(run_id=run_id, status="partial" if state.stop else "complete", summary=summary)
    return replace(_enqueue(state, now, last), phase=Phase.CLOSING), ()


def _all_settled(state: Progress, now: Instant) -> bool:
    """Whether every batch that may still be settled by this run is, durably."""
    if state.writing or any(not isinstance(e, _UNHURRIED) for e in state.ready):
        return False
    if state.phase is Phase.READING:
        return not (state.held or state.carried or state.diverged or state.unread or state.draft.outcomes) and (
            state.source_ended
        )
    if now.monotonic_s >= state.drain_until:
        return True
    waits = {Stage.SENT} if state.sends_halted else {Stage.SENT, Stage.READY, Stage.ATTEMPTING}
    storing = any(h.stage is Stage.ANSWERED and not h.rejects_durable for h in state.held) and not state.sends_halted
    return not state.at_stage(*waits) and not storing


def _write(state: Progress, now: Instant) -> Decided:
    """Write one entry with everything that is ready, when it is worth one."""
    if state.writing or not state.ready or not _entry_due(state, now):
        return state, ()
    digests: dict[str, bytes] = {}
    size, digest_bytes, count = 0, 0, 0
    for event in state.ready:
        packed = _digests(state, event)
        size, digest_bytes = size + _stored_bytes(event), digest_bytes + len(packed)
        if count and (size > ENTRY_EVENT_BYTES or digest_bytes > ENTRY_DIGEST_BYTES):
            break
        if isinstance(event, BatchAttempted):
            digests[event.batch_id] = packed
        count += 1
    writing = state.ready[:count]
    state = replace(
        state,
        writing=writing,
        ready=state.ready[count:],
        ready_since=now.monotonic_s,
        write_started_at=now.monotonic_s,
    )
    return state, (WriteEntry(writing, digests), *(_announcement(e) for e in writing if isinstance(e, BatchAttempted)))


def _entry_due(state: Progress, now: Instant) -> bool:
    """Few entries, little waiting: at once when the connection would idle without it or half a window has gathered."""
    half = max(1, state.settings.max_in_flight // 2)
    attempts = sum(isinstance(e, BatchAttempted) for e in state.ready)
    outcomes = sum(isinstance(e, BatchCommitted) for e in state.ready)
    sendable = state.at_stage(Stage.SENT, Stage.READY)
    return (
        attempts >= half
        or outcomes >= half
        or (attempts > 0 and len(sendable) < half)
        or (attempts == 0 and not sendable)
        or state.phase is not Phase.READING
        or now.monotonic_s >= state.ready_since + LINGER_S
    )


def _send(state: Progress, now: Instant) -> Decided:
    settings, commands = state.settings, list[Command]()
    lease_s = settings.stale_s - settings.append_timeout_s - settings.commit_timeout_s
    if state.sends_halted or now.monotonic_s >= min(state.last_entry_at + lease_s, state.drain_until):
        return state, ()
    sent = state.at_stage(Stage.SENT)
    in_flight, in_flight_bytes = len(sent), sum(h.batch.attempted.bytes for h in sent)
    for held in state.at_stage(Stage.READY):
        size = held.batch.attempted.bytes
        fits = in_flight < settings.max_in_flight and (not in_flight or in_flight_bytes + size <= WINDOW_BYTES)
        if not fits:
            break
        if held.not_before > now.monotonic_s:
            continue
        in_flight, in_flight_bytes = in_flight + 1, in_flight_bytes + size
        gone = replace(held, stage=Stage.SENT, attempts=held.attempts + 1, sent_at=now.monotonic_s, cut=False)
        state = state.with_held(held.batch.batch_id, lambda _, gone=gone: gone)  # type: ignore[misc]
        commands.append(SendBatch(held.batch))
    return state, tuple(commands)


def _store(state: Progress, now: Instant) -> Decided:
    """Rejected records go to the bucket once the batch's intent is durable, once."""
    del now
    commands = list[Command]()
    for held in state.at_stage(Stage.READY, Stage.SENT, Stage.ANSWERED):
        if held.batch.rejected and not held.object and not held.storing:
            state = state.with_held(held.batch.batch_id, lambda h: replace(h, storing=True))
            commands.append(StoreRejects(held.batch))
    return state, tuple(commands)


def _timeouts(state: Progress, now: Instant) -> Decided:
    late = any(
        now.monotonic_s >= h.sent_at + state.settings.append_timeout_s for h in state.at_stage(Stage.SENT) if not h.cut
    )
    if not late:
        return state, ()
    marked = tuple(replace(h, cut=True) if h.stage is Stage.SENT else h for h in state.held)
    return replace(state, held=marked), (CutConnection(),)


_RULES: tuple[Rule, ...] = (
    _deadline,
    _cut,
    _read,
    _settle,
    _attempt,
    _store,
    _publish,
    _heartbeat,
    _finish,
    _write,
    _send,
    _timeouts,
)


def _enqueue(state: Progress, now: Instant, *events: Event) -> Progress:
    since = state.ready_since if state.ready else now.monotonic_s
    return replace(state, ready=(*state.ready, *events), ready_since=since)


_UNHURRIED = (RunHeartbeat, BatchesPublished)
"""Events that the run's last entry may carry along."""


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
