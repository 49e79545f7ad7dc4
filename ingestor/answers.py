"""What an answer does to its batch: the actions of the outcome table, carried out on the run's state. Pure.

Everything that is tried again is bounded: by the run's attempts per batch, by the table's own limit of an answer in a
row, and by the run's end. What is spent becomes what the table says: a dead letter of its own, or the end of the run.
"""

from dataclasses import replace
from typing import assert_never

from ingestor.batch import RejectedRecord
from ingestor.encode import Rejection
from ingestor.lognames import LogName
from ingestor.outcome import Action, Outcome, fingerprint
from ingestor.progress import Decided, Held, Progress, Stage, Streak, drain
from ingestor.signals import AskTable, Command, CutConnection, Instant, Note

TABLE_PAUSE_S = 5.0
"""Between two tries while a new table is not known everywhere yet."""


def hear_answer(state: Progress, batch_id: str, outcome: Outcome, now: Instant) -> Decided:
    """Take in the answer to one request. An answer to what is not in flight any more says nothing."""
    held = next((h for h in state.at_stage(Stage.SENT) if h.batch.batch_id == batch_id), None)
    return (state, ()) if held is None else act(state, held, outcome.action, outcome, now)


def hear_end(state: Progress, outcome: Outcome, now: Instant) -> Decided:
    """Take in the end of the call: everything in flight is unknown now."""
    state, commands = replace(state, cutting=False), tuple[Command, ...]()
    for held in state.at_stage(Stage.SENT):
        state, more = act(state, held, outcome.action, outcome, now)
        commands += more
    return state, commands


def hear_table(state: Progress, batch_id: str, now: Instant, *, exists: bool) -> Decided:
    """Take in what the metadata says of the table that the append path does not find."""
    held = next((h for h in state.held if h.batch.batch_id == batch_id and h.failure is not None), None)
    if held is None or held.stage is not Stage.READY or held.failure is None:
        return state, ()
    if not exists:
        return act(state, held, Action.SYSTEMIC, held.failure, now)
    return _with(state, replace(held, failure=None, not_before=now.monotonic_s + TABLE_PAUSE_S)), ()


def act(state: Progress, held: Held, action: Action, outcome: Outcome, now: Instant) -> Decided:
    """Carry one action out."""
    match action:
        case Action.APPENDED:
            return _appended(state, held, now), ()
        case Action.TAKE_OUT:
            return _take_out(state, held, outcome, now)
        case Action.HALVE:
            return _halve(state, held, outcome), ()
        case Action.RETRY | Action.RECONNECT | Action.SLOW_DOWN | Action.REFRESH | Action.WAIT_FOR_TABLE:
            return _again(state, held, action, outcome, now)
        case Action.BATCH_FAILURE:
            return _with(state, replace(held, stage=Stage.DYING, failure=outcome)), ()
        case Action.SYSTEMIC:
            return _systemic(state, held, outcome, now)
        case _:
            assert_never(action)


def _appended(state: Progress, held: Held, now: Instant) -> Progress:
    """The request's rows are in the table. A window that was halved grows again, one by one."""
    left = held.left[len(held.request) :]
    window = min(state.window + 1, state.settings.max_in_flight)
    latency_ms = round((now.monotonic_s - held.sent_at) * 1000)
    done = replace(held, left=left, latency_ms=latency_ms, failures=0, streak=None)
    return _with(replace(state, window=window), answered(done))


def answered(held: Held) -> Held:
    """Return the batch at its next stage: more to send, or every row acknowledged or refused."""
    if held.left:
        return replace(held, stage=Stage.READY)
    return replace(held, batch=replace(held.batch, rows=()), stage=Stage.ANSWERED)  # the bytes need not be kept


def _take_out(state: Progress, held: Held, outcome: Outcome, now: Instant) -> Decided:
    """Nothing of the request was written: its refused rows are rejected, the rest goes again at once.

    The service's list may be incomplete; every round takes out one row at least, so the rounds end.
    """
    request = held.request
    named = outcome.refused_among(len(request))
    if not named:
        return act(state, held, Action.BATCH_FAILURE, outcome, now)
    gone = {request[at]: message for at, message in named.items()}
    return _with(state, answered(_refuse(held, gone))), ()


def _refuse(held: Held, gone: dict[int, str]) -> Held:
    refused = [
        RejectedRecord(index, held.batch.original(index), Rejection(reason, stage="append"))
        for index, reason in ((held.batch.indexes[place], reason) for place, reason in sorted(gone.items()))
    ]
    left = tuple(place for place in held.left if place not in gone)
    return replace(held, left=left, refused=(*held.refused, *refused), failures=0, streak=None)


def _halve(state: Progress, held: Held, outcome: Outcome) -> Progress:
    """The request cannot be sent whole: half of it goes next; a row that cannot be sent alone is rejected alone."""
    request = held.request
    if len(request) == 1:
        alone = _refuse(held, {request[0]: outcome.alone})
        return _with(state, answered(replace(alone, part=state.settings.request_rows)))
    return _with(state, replace(held, part=len(request) // 2, stage=Stage.READY))


def _again(state: Progress, held: Held, action: Action, outcome: Outcome, now: Instant) -> Decided:
    """Send it again after a pause, within every bound; beyond them it becomes what the table says."""
    batch_id, waits = held.batch.batch_id, action is Action.WAIT_FOR_TABLE
    streak = _streak(held, action, outcome, now)
    failures = held.failures if waits else held.failures + 1
    if _is_spent(state, failures, streak, outcome, now):
        return act(state, held, outcome.spent, outcome, now)
    pause_s = TABLE_PAUSE_S if waits else state.settings.backoff(failures)
    again = replace(
        held,
        stage=Stage.READY,
        failures=failures,
        streak=streak,
        not_before=now.monotonic_s + pause_s,
        failure=outcome if waits else None,
    )
    commands = list[Command]()
    stays = state.cutting or outcome.unknown or action in {Action.RETRY, Action.SLOW_DOWN}
    if not stays:
        commands.append(CutConnection())
    if waits:
        commands.append(AskTable(batch_id))
    window = max(1, state.window // 2) if action is Action.SLOW_DOWN else state.window
    commands.append(_retried_note(held, outcome))
    state = replace(state, window=window, cutting=state.cutting or not stays)
    return _with(state, again).count(retries=1), tuple(commands)


def _streak(held: Held, action: Action, outcome: Outcome, now: Instant) -> Streak | None:
    """Count an answer that may come only so often or for so long. Others in between, such as a connection that was lost
    for a neighbour's sake, neither count nor start the counting anew.
    """
    before = held.streak
    if outcome.limit is None and outcome.limit_s is None:
        return before
    if before is None or before.action is not action:
        return Streak(action, 1, now.monotonic_s)
    return replace(before, times=before.times + 1)


def _is_spent(state: Progress, failures: int, streak: Streak | None, outcome: Outcome, now: Instant) -> bool:
    if failures >= state.settings.max_attempts:
        return True
    return streak is not None and (
        (outcome.limit is not None and streak.times > outcome.limit)
        or (outcome.limit_s is not None and now.monotonic_s - streak.since > outcome.limit_s)
    )


def _systemic(state: Progress, held: Held, outcome: Outcome, now: Instant) -> Decided:
    """No batch would be taken: this one and all others in flight are set aside, and the run fails."""
    state = _with(state, replace(held, stage=Stage.DYING, failure=outcome, kind="systemic"))
    said = " ".join(filter(None, (outcome.code, outcome.storage_error_name)))
    why = (
        f"BigQuery takes no batch ({said}, fingerprint {fingerprint(outcome)}); what was in flight is set aside and "
        "the next runs try one of it first: see `ingestor batches failures`"
    )
    return drain(replace(state, systemic=state.systemic or outcome), now, failure=why, halt_sends=True), ()


def _retried_note(held: Held, outcome: Outcome) -> Note:
    return Note(
        LogName.BATCH_RETRIED,
        "WARNING",
        {"batch_id": held.batch.batch_id, "attempts": held.attempts, "code": outcome.code},
    )


def _with(state: Progress, held: Held) -> Progress:
    return state.with_held(held.batch.batch_id, lambda _: held)
