"""The names of log events and of their fields: metrics, alerts and dashboards may use these and no others."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypedDict, get_args, get_type_hints


class LogName(StrEnum):
    """What is logged. The values are the contract's; other people's filters rely on them."""

    RUN_STARTED = "run.started"
    RUN_SKIPPED = "run.skipped"
    RUN_FINISHED = "run.finished"
    RUN_FAILED = "run.failed"
    PAGE_READ = "page.read"
    PAGE_RETRIED = "page.retried"
    SOURCE_CHANGED = "source.changed"
    RECORD_REJECTED = "record.rejected"
    BATCH_ATTEMPTED = "batch.attempted"
    BATCH_COMMITTED = "batch.committed"
    BATCH_RETRIED = "batch.retried"
    BATCH_DEAD_LETTERED = "batch.dead_lettered"
    BATCH_SUPERSEDED = "batch.superseded"
    DEADLETTER_FAILED = "deadletter.failed"
    FUSE_BLOWN = "fuse.blown"
    REPLAY_STARTED = "replay.started"
    REPLAY_SUCCEEDED = "replay.succeeded"
    REPLAY_FAILED = "replay.failed"
    BATCH_DISCARDED = "batch.discarded"
    SCHEMA_MISMATCH = "schema.mismatch"
    RECONCILE_DIFFERENCE = "reconcile.difference"
    AUTH_REFUSED = "auth.refused"
    LANE_PAUSED = "lane.paused"
    LANE_RESUMED = "lane.resumed"
    LANE_RECOVERED = "lane.recovered"
    CHECKPOINT_SET = "checkpoint.set"
    RUN_ISOLATES = "run.isolates"
    RECORD_ISOLATED = "record.isolated"
    LIBRARY_MESSAGE = "library.message"


MESSAGES: Mapping[LogName, str] = {
    LogName.RUN_STARTED: "A run took its lane.",
    LogName.RUN_SKIPPED: "A run found its lane taken or paused and did nothing.",
    LogName.RUN_FINISHED: "A run ended.",
    LogName.RUN_FAILED: "A run failed.",
    LogName.PAGE_READ: "A page was read.",
    LogName.PAGE_RETRIED: "A page will be asked for again.",
    LogName.SOURCE_CHANGED: "The source no longer sends records of a page that was partly taken.",
    LogName.RECORD_REJECTED: "A record does not fit the message and was set aside.",
    LogName.BATCH_ATTEMPTED: "A batch is in the ledger and may be appended.",
    LogName.BATCH_COMMITTED: "A batch is in the table and in the ledger.",
    LogName.BATCH_RETRIED: "A batch will be appended again.",
    LogName.BATCH_DEAD_LETTERED: "A batch was set aside.",
    LogName.BATCH_SUPERSEDED: "A batch was rebuilt differently; what was appended of it stays invisible.",
    LogName.DEADLETTER_FAILED: "The dead-letter bucket did not take an object, or does not answer.",
    LogName.FUSE_BLOWN: "Too much was refused; the run stops.",
    LogName.REPLAY_STARTED: "A replay started.",
    LogName.REPLAY_SUCCEEDED: "A replay succeeded.",
    LogName.REPLAY_FAILED: "A replay failed.",
    LogName.BATCH_DISCARDED: "A dead letter was closed without being sent.",
    LogName.SCHEMA_MISMATCH: "The message does not fit the table.",
    LogName.RECONCILE_DIFFERENCE: "Ledger and table differ.",
    LogName.AUTH_REFUSED: "A caller was refused.",
    LogName.LANE_PAUSED: "A person paused a lane.",
    LogName.LANE_RESUMED: "A person let a lane go on.",
    LogName.LANE_RECOVERED: "A lane that was unfinished beyond its retention goes on.",
    LogName.CHECKPOINT_SET: "A person moved a lane's checkpoint; what lies in between is not read.",
    LogName.RUN_ISOLATES: "Runs before this one ended without a word here; what may end a process is done in another.",
    LogName.RECORD_ISOLATED: "A record ends the process that handles it and is set aside.",
    LogName.LIBRARY_MESSAGE: "A library reported something.",
}
"""One constant sentence per event, so that lines of one kind can be grouped; what varies stands in fields."""


class Fields(TypedDict, total=False):
    """Every field that an event may carry, with its type.

    `error`, `reason` and `text` are lines written by this software or by a library, never values of records; `field` is
    the name of a field. Sizes are bytes, `_ms` milliseconds, `_s` seconds, `checkpoint` and `cursor` positions as text.
    """

    batch_id: str
    rows: int
    bytes: int
    attempts: int
    latency_ms: int
    code: str
    fingerprint: str
    checkpoint: str | None
    lag_s: float | None
    in_doubt: int
    oldest_in_doubt_s: float | None
    dead_lettered_open: int | None
    balanced: bool
    cursor: str | None
    records: int
    rows_committed: int
    rows_rejected: int
    rows_dead_lettered: int
    rows_known: int
    rows_changed: int
    rows_in_doubt: int
    rows_superseded: int
    rows_replayed: int
    batches_committed: int
    batches_dead_lettered: int
    batches_superseded: int
    row_index: int
    stage: str
    field: str | None
    wait_s: float
    status: str
    reason: str
    error: str | None
    trigger: str
    takeover: bool
    actor: str
    duration_s: float
    missing: int
    doubled: int
    unknown: int
    logger: str
    text: str


class Bound(TypedDict, total=False):
    """Fields that a log carries on every line once they are bound; `trace` is `projects/P/traces/T`."""

    lane: str
    run_id: str
    trace: str
    partition: int


def _types(hint: Any) -> tuple[type, ...]:  # noqa: ANN401  # a type or a union of types
    found = get_args(hint) or (hint,)
    return (*found, int) if float in found else tuple(found)


FIELDS: Mapping[str, tuple[type, ...]] = {name: _types(hint) for name, hint in get_type_hints(Fields).items()}
"""The types that `Fields` allows each field, for the check at run time."""
BOUND = frozenset(Bound.__annotations__)
ALWAYS = ("severity", "time", "event", "message", "service", "pipeline", "lane", "run_id")
"""Fields of every line, in this order; lane and run id are null outside a run."""
TRACE = "logging.googleapis.com/trace"
"""Where Cloud Logging looks for the trace that a line belongs to."""
TRACEBACK = "traceback"

WITHOUT_TEXT = frozenset({LogName.RECORD_REJECTED})
"""Events about a record's value: a parser's own words may quote it, so `reason`, `error` and `text` are refused."""
TEXTS = frozenset({"reason", "error", "text"})
