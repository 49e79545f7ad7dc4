"""From pages to batches, inside the run: settling the past first, then cutting afresh. Pure.

What an earlier run attempted and did not settle is cut again at the same counts and compared by id. A difference
means that the source rewrote or lost records: everything that remains is superseded in one entry, whose version opens a
new epoch, and reading starts again at the checkpoint.
"""

import sys
from dataclasses import replace

from ingestor.batch import Batch, Draft, Limits, cut, fill
from ingestor.paging import MAX_REMEMBERED
from ingestor.progress import Decided, Held, Progress, Stage, drain
from ingestor.signals import Instant, StartReading
from state.events import BatchSuperseded, Position


def restart_reading(state: Progress) -> Decided:
    """Read on from the checkpoint, forgetting what was read beyond it."""
    start = state.lane.checkpoint or Position(state.settings.source_start)
    state = replace(
        state,
        reading=state.reading + 1,
        granted=0,
        source_ended=False,
        boundary=state.lane.boundary,
        unread=(),
        draft=Draft(start, start),
        diverged=False,
        counts=replace(state.counts, known=0, changed=0),
    )
    return state, (StartReading(state.reading, start.cursor),)


def cut_next(state: Progress, now: Instant) -> Progress:
    """Take records until one batch is complete or there are no more for now."""
    limits = state.settings.limits
    if state.carried:
        earlier = state.carried[0]
        limits = Limits(rows=earlier.rows + earlier.rejected, bytes=sys.maxsize)
    state, full = _take(state, limits)
    at_end = state.source_ended and not state.unread
    if state.carried and not full:
        return replace(state, diverged=at_end)
    if not full and not (at_end and state.draft.outcomes):
        return state
    return _match_carried(state) if state.carried else _cut_fresh(state, now)


def supersede_diverged(state: Progress, now: Instant) -> Decided:
    """Once every matching batch is settled, supersede the rest in one entry; once that landed, read again."""
    if not state.carried:
        return restart_reading(state)
    if state.held or state.writing or state.ready:
        return state, ()
    reason = "the source no longer yields the records of this batch"
    events = tuple(BatchSuperseded(batch_id=b.batch_id, reason=reason) for b in state.carried)
    return replace(state, ready=events, ready_since=now.monotonic_s), ()


def _take(state: Progress, limits: Limits) -> tuple[Progress, bool]:
    draft, unread, full = state.draft, state.unread, False
    while unread and not full:
        draft, rest, full = fill(draft, unread[0], state.settings.encode, limits)
        unread = unread[1:] if rest.exhausted else (rest, *unread[1:])
    return replace(state, draft=draft, unread=unread), full


def _match_carried(state: Progress) -> Progress:
    earlier = state.carried[0]
    again = cut(
        state.settings.pipeline,
        state.settings.lane,
        earlier.epoch,
        replace(state.draft, start=earlier.start),
        earlier.ingest_time_us,
    )
    # The same records at another place would leave a checkpoint that does not follow them: that is a difference too.
    if again.batch_id != earlier.batch_id or earlier.end not in {state.draft.end, state.draft.within}:
        return replace(state, diverged=True)
    # The journal's own span and tail stay what they were: only the bytes are rebuilt.
    stage = Stage.READY if again.rows else Stage.ANSWERED
    held = Held(
        replace(again, attempted=earlier), stage, tuple(range(len(again.rows))), part=state.settings.request_rows
    )
    return replace(_hold(state, held), carried=state.carried[1:])


def _cut_fresh(state: Progress, now: Instant) -> Progress:
    draft, settings = state.draft, state.settings
    if draft.end.taken > MAX_REMEMBERED:
        return drain(
            state,
            now,
            failure=f"a batch ends after {draft.end.taken} records that the source may send again, and at most "
            f"{MAX_REMEMBERED} can be remembered: set SOURCE_PAGE_SIZE to 20000 or less, or lower SOURCE_OVERLAP",
        )
    batch: Batch = cut(settings.pipeline, settings.lane, state.lane.epoch, draft, now.wall_us)
    return _hold(state, Held(batch, left=tuple(range(len(batch.rows)))))


def _hold(state: Progress, held: Held) -> Progress:
    end = state.draft.end
    return replace(state, held=(*state.held, held), draft=Draft(end, end))
