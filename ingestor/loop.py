"""The run's decisions: `step(state, signal, now) -> state, commands`. Pure, single-threaded, the same for real adapters
and for an explorer that chooses every order of events.

The rules below are applied after every signal, in this order, each looking only at the state:

1. deadline and fuse: stop reading when the time is up, or when too much is refused;
2. cut: build the next batch, first the ones that an earlier run left in doubt, at their own cuts;
3. read: keep one page in work and one ahead;
4. settle: journal outcomes in lane order, never one before every earlier batch is settled;
5. attempt: announce batches before they are sent; give to the bucket what it must hold before a batch is settled;
6. publish, heartbeat, finish;
7. write: one journal entry at a time, several events in each;
8. send: within the window, and only while the lease is fresh.

A batch is sent only after its intent is durable, an outcome is journaled only after every row is acknowledged and every
rejected record is in the bucket, and nothing here trusts a clock for more than liveness.
"""

from dataclasses import replace

from ingestor.cutting import cut_next, restart_reading, supersede_diverged
from ingestor.entries import LINGER_S, attempt, enqueue, settle, write
from ingestor.hear import hear
from ingestor.lognames import LogName
from ingestor.progress import WINDOW_BYTES, Decided, Phase, Progress, Rule, Settings, Stage, drain
from ingestor.sending import give_up, send, store, timeouts
from ingestor.signals import Command, Continue, GrantPage, Instant, Note, PublishStatements, Signal
from ingestor.summary import ledger_summary, storable
from state.events import BatchesPublished, Event, RunFailed, RunFinished, RunHeartbeat
from state.fold import LaneState

PAGES_AHEAD = 2
"""Pages granted or waiting: one in work, one prefetched."""
FUSE_RECORDS, FUSE_BATCHES = 1_000, 10
"""What must be judged before a ratio says anything: records where they are rejected one by one, batches where they are
refused whole, since a single refused batch may be a fifth of a short run.
"""
PUBLISH_STATEMENTS = 200
PUBLISH_EVERY_S = 15.0
DEADLINE_GRACE_S = 60.0
"""After RUN_DEADLINE_S (480) what is in flight gets this long; Cloud Run cuts at 600."""


def begin(settings: Settings, lane: LaneState, now: Instant, entry_at: float | None = None) -> Decided:
    """Return the state of a run that has just journaled `run_started`, and its first commands.

    What the lane's outbox held then must be published already: the run's next entry says so. `entry_at` is when the
    run's newest entry was begun (monotonic seconds; None: now): its lease counts from there.
    """
    state = Progress(
        settings=settings,
        lane=lane,
        window=settings.max_in_flight,
        carried=lane.unsettled,
        carried_ids=frozenset(b.batch_id for b in lane.unsettled),
        published=lane.version,
        ready=(BatchesPublished(through=lane.outbox[-1].version),) if lane.outbox else (),
        ready_since=now.monotonic_s,
        last_entry_at=now.monotonic_s if entry_at is None else entry_at,
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
    if state.diverged:
        return supersede_diverged(state, now)
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
        state = enqueue(state, now, RunHeartbeat(run_id=state.settings.run_id))
    return state, ()


def _finish(state: Progress, now: Instant) -> Decided:
    """End the run once nothing is left to do, or nothing more may be waited for; what is owed is published by then."""
    if state.phase is Phase.CLOSING or not _all_settled(state, now) or state.publishing:
        return state, ()
    run_id, summary = state.settings.run_id, ledger_summary(state)
    last: Event
    if state.failure is not None:
        last = RunFailed(run_id=run_id, error=storable(state.failure), summary=summary)
    else:
        status = "partial" if state.stop else "complete"
        last = RunFinished(run_id=run_id, status=status, summary=summary, isolate=state.settings.isolate_next())
    return replace(enqueue(state, now, last), phase=Phase.CLOSING), ()


def _all_settled(state: Progress, now: Instant) -> bool:
    """Whether every batch that may still be settled by this run is, durably."""
    if state.writing or any(not isinstance(e, _UNHURRIED) for e in state.ready):
        return False
    if state.phase is Phase.READING:
        return not (state.held or state.carried or state.diverged or state.unread or state.draft.outcomes) and (
            state.source_ended
        )
    storing = not state.store_failed and any(
        h.stage is Stage.DYING or (h.stage is Stage.ANSWERED and not h.rejects_durable) for h in state.held
    )
    if now.monotonic_s >= state.drain_until:
        return not (storing and state.systemic)
    waits = {Stage.SENT} if state.sends_halted else {Stage.SENT, Stage.READY, Stage.ATTEMPTING}
    return not state.at_stage(*waits) and not storing


def _fuse(state: Progress, now: Instant) -> Decided:
    """A bad deploy halts; it does not drain the source into the bucket."""
    settings = state.settings
    in_a_row = state.refused_in_a_row > settings.fuse_consecutive
    bad, allowed = state.judged_rejected + state.judged_dead, settings.fuse_ratio * state.judged
    many = (state.judged >= FUSE_RECORDS and state.judged_rejected > allowed) or (
        state.judged_batches >= FUSE_BATCHES and bad > allowed
    )
    if state.phase is not Phase.READING or not (in_a_row or many):
        return state, ()
    what = f"{bad} of {state.judged} records were refused, {state.refused_in_a_row} batches in a row whole"
    error = f"the fuse blew: {what}; look at the reasons in the bucket, mend the source or the message, and run again"
    note = Note(LogName.FUSE_BLOWN, "ERROR", {"reason": what})
    return drain(state, now, failure=error), (note,)


_RULES: tuple[Rule, ...] = (
    _deadline,
    _fuse,
    _cut,
    _read,
    settle,
    attempt,
    give_up,
    store,
    _publish,
    _heartbeat,
    _finish,
    write,
    send,
    timeouts,
)


_UNHURRIED = (RunHeartbeat, BatchesPublished)
"""Events that the run's last entry may carry along."""
