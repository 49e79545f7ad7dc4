"""What leaves for BigQuery and the bucket, and what has waited too long. Rules of the run's loop; pure."""

from dataclasses import replace

from ingestor.progress import WINDOW_BYTES, Decided, Progress, Stage
from ingestor.signals import Command, CutConnection, Instant, SendBatch, StoreRejects


def send(state: Progress, now: Instant) -> Decided:
    """Send what is announced, within the window, while the lease is fresh: a run that stalled starts no append."""
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


def store(state: Progress, now: Instant) -> Decided:
    """Rejected records go to the bucket once the batch's intent is durable, once."""
    del now
    commands = list[Command]()
    for held in state.at_stage(Stage.READY, Stage.SENT, Stage.ANSWERED):
        if held.batch.rejected and not held.object and not held.storing:
            state = state.with_held(held.batch.batch_id, lambda h: replace(h, storing=True))
            commands.append(StoreRejects(held.batch))
    return state, tuple(commands)


def timeouts(state: Progress, now: Instant) -> Decided:
    """End the connection once, when an answer is overdue."""
    late = any(
        now.monotonic_s >= h.sent_at + state.settings.append_timeout_s for h in state.at_stage(Stage.SENT) if not h.cut
    )
    if not late:
        return state, ()
    marked = tuple(replace(h, cut=True) if h.stage is Stage.SENT else h for h in state.held)
    return replace(state, held=marked), (CutConnection(),)
