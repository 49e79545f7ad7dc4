"""What leaves for BigQuery and the bucket, and what has waited too long. Rules of the run's loop; pure."""

from dataclasses import replace

from ingestor.progress import STAGES, WINDOW_BYTES, Decided, Held, Phase, Progress, Stage
from ingestor.signals import Command, CutConnection, Instant, SendBatch, StoreDead, StoreRejects


def send(state: Progress, now: Instant) -> Decided:
    """Send what is announced, within the window, while the lease is fresh: a run that stalled starts no append."""
    settings, commands = state.settings, list[Command]()
    lease_s = settings.stale_s - settings.append_timeout_s - settings.commit_timeout_s
    if state.sends_halted or state.cutting or now.monotonic_s >= min(state.last_entry_at + lease_s, state.drain_until):
        return state, ()
    sent = state.at_stage(Stage.SENT)
    in_flight, in_flight_bytes = len(sent), sum(h.batch.attempted.bytes for h in sent)
    for held in state.at_stage(Stage.READY):
        size = held.batch.attempted.bytes
        if in_flight >= state.window or (in_flight and in_flight_bytes + size > WINDOW_BYTES):
            break
        if held.not_before > now.monotonic_s:
            continue
        in_flight, in_flight_bytes = in_flight + 1, in_flight_bytes + size
        state = state.with_held(held.batch.batch_id, lambda h: _sent(h, now))
        rows = _rows(held)
        state = state.count(bytes_sent=size if rows is held.batch.rows else sum(map(len, rows)))
        commands.append(SendBatch(held.batch, rows))
    return state, tuple(commands)


def _sent(held: Held, now: Instant) -> Held:
    return replace(held, stage=Stage.SENT, attempts=held.attempts + 1, sent_at=now.monotonic_s, failure=None)


def _rows(held: Held) -> tuple[bytes, ...]:
    whole = len(held.request) == len(held.batch.rows)
    return held.batch.rows if whole else tuple(held.batch.rows[place] for place in held.request)


def store(state: Progress, now: Instant) -> Decided:
    """Give to the bucket what must be durable before a batch is settled, each thing once.

    Records that could not be encoded go as soon as the batch's intent is durable; those that BigQuery refused, and a
    batch that it will not take, once nothing more of the batch will be sent.
    """
    del now
    if state.phase is Phase.CLOSING:
        return state, ()
    commands = list[Command]()
    for held in state.at_stage(Stage.READY, Stage.SENT, Stage.ANSWERED, Stage.DYING):
        over = held.stage in {Stage.ANSWERED, Stage.DYING}
        for stage in STAGES:
            if held.rejected_at(stage) and stage not in held.asked and (over or stage == "encode"):
                state = _ask(state, held, stage)
                commands.append(StoreRejects(replace(held.batch, rejected=held.rejected_at(stage)), stage))
        if held.stage is Stage.DYING and "dead" not in held.asked and held.failure is not None:
            state = _ask(state, held, "dead")
            indexes = sorted(r.index for stage in STAGES for r in held.rejected_at(stage))
            commands.append(StoreDead(held.batch, held.kind, held.failure, held.attempts, tuple(indexes)))
    return state, tuple(commands)


def _ask(state: Progress, held: Held, what: str) -> Progress:
    return state.with_held(held.batch.batch_id, lambda h: replace(h, asked=h.asked | {what}))


def give_up(state: Progress, now: Instant) -> Decided:
    """Once no batch would be taken, what waits to be sent is set aside; what is in flight keeps its chance to be
    answered until the time to drain is over.
    """
    if state.systemic is None:
        return state, ()
    late = now.monotonic_s >= state.drain_until
    why = state.systemic
    for held in state.at_stage(Stage.READY, *([Stage.SENT] if late else [])):
        state = state.with_held(
            held.batch.batch_id, lambda h: replace(h, stage=Stage.DYING, failure=h.failure or why, kind="systemic")
        )
    return state, ()


def timeouts(state: Progress, now: Instant) -> Decided:
    """End the connection once, when an answer is overdue."""
    late = any(now.monotonic_s >= h.sent_at + state.settings.append_timeout_s for h in state.at_stage(Stage.SENT))
    if state.cutting or not late:
        return state, ()
    return replace(state, cutting=True), (CutConnection(),)
