"""Every answer of AppendRows, as one table. Pure data; `outcome` looks answers up in it, `docs/outcomes.md` prints it.

A rule is looked for in this order, and the first kind that fits decides: row errors, `StorageError` code, wording of
the message, gRPC status. Within a kind and a channel no two rules fit the same answer, so their order means nothing.
"""

import re
from dataclasses import dataclass
from enum import Enum

OK = 0
CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 1, 2, 3, 4, 5, 6
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED = 7, 8, 9, 10, 11, 12
INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = 13, 14, 15, 16

CODE_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status codes by number."""

STORAGE_ERROR_NAMES = (
    "STORAGE_ERROR_CODE_UNSPECIFIED",
    "TABLE_NOT_FOUND",
    "STREAM_ALREADY_COMMITTED",
    "STREAM_NOT_FOUND",
    "INVALID_STREAM_TYPE",
    "INVALID_STREAM_STATE",
    "STREAM_FINALIZED",
    "SCHEMA_MISMATCH_EXTRA_FIELDS",
    "OFFSET_ALREADY_EXISTS",
    "OFFSET_OUT_OF_RANGE",
    "CMEK_NOT_PROVIDED",
    "INVALID_CMEK_PROVIDED",
    "CMEK_ENCRYPTION_ERROR",
    "KMS_SERVICE_ERROR",
    "KMS_PERMISSION_DENIED",
)
"""`StorageError.StorageErrorCode` by number; 0 says nothing, the gRPC status decides then."""

WAIT_FOR_TABLE_S = 600.0
"""A new table, or a new column, may be unknown to the append path for this long (Write API documentation)."""


class Action(Enum):
    """What the run does with the batch."""

    APPENDED = "appended"
    """The rows are in the table."""
    TAKE_OUT = "take_out"
    """Rows were refused and nothing of the request was written: reject those rows, send the rest under the same id."""
    RETRY = "retry"
    """Nothing was written: send it again on the same connection after a pause."""
    RECONNECT = "reconnect"
    """Send it again on a new connection after a pause."""
    SLOW_DOWN = "slow_down"
    """Quota: halve the window, pause, send again; the connection is kept if it still lives."""
    HALVE = "halve"
    """The request is too large: send the batch in two requests; a row that is too large alone is rejected."""
    BATCH_FAILURE = "batch_failure"
    """This batch will not be taken: dead-letter it and go on."""
    SYSTEMIC = "systemic"
    """No batch would be taken: dead-letter what is in flight and stop."""
    WAIT_FOR_TABLE = "wait_for_table"
    """Ask for the table's metadata: when it is there, send again on a new connection for a bounded time; else stop."""
    REFRESH = "refresh"
    """The credentials were refused: make them anew once, on a new connection."""


class Channel(Enum):
    """How the answer came."""

    IN_BAND = "in band"
    """A response on a living connection: it speaks of one request."""
    RPC_END = "end of the call"
    """The call ended: it speaks of everything that was sent and not answered."""
    SILENCE = "silence"
    """No answer in time; the run cut the connection."""


IN_BAND, RPC_END, SILENCE = (Channel.IN_BAND,), (Channel.RPC_END,), (Channel.SILENCE,)
BOTH = (Channel.IN_BAND, Channel.RPC_END)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        channels: the channels it holds for.
        action: what to do.
        source: who says so.
        codes: gRPC statuses it fits; empty fits every one.
        storage_errors: `StorageError` codes it fits; empty: it looks at none.
        wording: what the message must hold; None: it does not look at the message.
        row_errors: it fits answers that name refused rows.
        spent: what the action becomes when its tries or its time are used up.
        limit: how often in a row the action may be taken; None: as often as the run's own budget allows.
        limit_s: how long it may go on, in seconds, likewise.
        unknown: the rows may have been written although the answer is an error. Always so outside of IN_BAND.
    """

    channels: tuple[Channel, ...]
    action: Action
    source: str
    codes: tuple[int, ...] = ()
    storage_errors: tuple[int, ...] = ()
    wording: re.Pattern[str] | None = None
    row_errors: bool = False
    spent: Action = Action.SYSTEMIC
    limit: int | None = None
    limit_s: float | None = None
    unknown: bool = False


_PROTO = "AppendRowsResponse, storage.proto"
_STORAGE_PROTO = "StorageError.StorageErrorCode, storage.proto"
_ERRORS_PAGE = "Write API documentation, error handling"
_GO = "Go client, managedwriter/retry.go"
_BUG = "no documented cause on `_default`, which has no offsets and is never committed or finalized: a bug of ours"
_TOO_LARGE = re.compile(r"request too large|message larger than max|request payload size exceeds", re.IGNORECASE)
_SCHEMA = re.compile(
    r"invalid proto ?schema|writer.?schema|proto ?descriptor|schema.{0,20}mismatch|mismatch.{0,40}schema"
    r"|has more fields than|(?:proto|field).{0,80}mismatched with bigquery",
    re.IGNORECASE,
)
_CONNECTIONS = re.compile(r"concurrent.{0,20}connections|connections? quota|too many connections", re.IGNORECASE)

RULES: tuple[Rule, ...] = (
    Rule(
        IN_BAND,
        Action.TAKE_OUT,
        f"{_PROTO}: row_errors set means no row of the request was written; the list may be incomplete, so it loops",
        row_errors=True,
        spent=Action.BATCH_FAILURE,
    ),
    Rule(
        BOTH,
        Action.WAIT_FOR_TABLE,
        f"{_STORAGE_PROTO}; {_ERRORS_PAGE}: stale routing after a table is made",
        storage_errors=(1,),
        limit_s=WAIT_FOR_TABLE_S,
    ),
    Rule(BOTH, Action.SYSTEMIC, f"{_STORAGE_PROTO}: {_BUG}", storage_errors=(2, 3, 4, 5, 6, 8, 9)),
    Rule(
        BOTH,
        Action.WAIT_FOR_TABLE,
        f"{_STORAGE_PROTO}: the table lacks a column; after DDL the append path may not know it yet",
        storage_errors=(7,),
        limit_s=WAIT_FOR_TABLE_S,
    ),
    Rule(BOTH, Action.SYSTEMIC, f"{_STORAGE_PROTO}: the table's encryption key", storage_errors=(10, 11, 12, 14)),
    Rule(IN_BAND, Action.RETRY, f"{_STORAGE_PROTO}: the key service failed for a moment", storage_errors=(13,)),
    Rule(RPC_END, Action.RECONNECT, f"{_STORAGE_PROTO}: the key service failed for a moment", storage_errors=(13,)),
    Rule(
        BOTH,
        Action.HALVE,
        "java-bigquerystorage integration test: `AppendRows request too large: N limit N`; Write API quotas, 20 MB",
        codes=(INVALID_ARGUMENT,),
        wording=_TOO_LARGE,
        spent=Action.BATCH_FAILURE,
    ),
    Rule(
        BOTH,
        Action.HALVE,
        "gRPC core: `message larger than max`, client's or server's own bound on a message",
        codes=(RESOURCE_EXHAUSTED,),
        wording=_TOO_LARGE,
        spent=Action.BATCH_FAILURE,
    ),
    Rule(
        BOTH,
        Action.SYSTEMIC,
        f"{_ERRORS_PAGE}: the writer schema is refused (not self-contained, or another type than the column's)",
        codes=(INVALID_ARGUMENT,),
        wording=_SCHEMA,
    ),
    Rule(
        RPC_END,
        Action.RECONNECT,
        "Write API quotas: concurrent connections; this run holds one and opens no second",
        codes=(RESOURCE_EXHAUSTED,),
        wording=_CONNECTIONS,
    ),
    Rule(IN_BAND, Action.APPENDED, f"{_PROTO}: append_result", codes=(OK,)),
    Rule(
        IN_BAND,
        Action.RETRY,
        f"{_PROTO}: an error in band was not accepted; {_GO}: retried",
        codes=(ABORTED, INTERNAL),
        spent=Action.BATCH_FAILURE,
    ),
    Rule(
        IN_BAND,
        Action.RETRY,
        f"{_GO}: retried; a time-out or an overload does not say what became of the request",
        codes=(CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, UNAVAILABLE),
        unknown=True,
    ),
    Rule(
        IN_BAND,
        Action.BATCH_FAILURE,
        f"{_ERRORS_PAGE}: the request is wrong and stays so; the fuse stops a run in which every batch is",
        codes=(INVALID_ARGUMENT,),
    ),
    Rule(
        RPC_END,
        Action.SYSTEMIC,
        f"{_ERRORS_PAGE}: a call that ends so does not say for which request; a first request is refused so "
        "for its stream name or its writer schema",
        codes=(INVALID_ARGUMENT,),
    ),
    Rule(
        BOTH,
        Action.WAIT_FOR_TABLE,
        f"{_ERRORS_PAGE}: stale routing after a table is made",
        codes=(NOT_FOUND,),
        limit_s=WAIT_FOR_TABLE_S,
    ),
    Rule(BOTH, Action.SYSTEMIC, f"gRPC status codes; {_BUG}", codes=(ALREADY_EXISTS, OUT_OF_RANGE)),
    Rule(
        BOTH,
        Action.SYSTEMIC,
        "IAM: bigquery.tables.updateData is missing; later runs probe, so a grant heals it",
        codes=(PERMISSION_DENIED,),
    ),
    Rule(
        BOTH,
        Action.SLOW_DOWN,
        f"{_GO}: `Exceeds 'AppendRows throughput' quota` is retried after a longer pause; it refills in 10 s to 10 min",
        codes=(RESOURCE_EXHAUSTED,),
    ),
    Rule(
        BOTH,
        Action.RECONNECT,
        "clients disagree whether a new connection mends it (Go managedwriter, Beam): at most 3 tries",
        codes=(FAILED_PRECONDITION,),
        limit=2,
    ),
    Rule(
        BOTH,
        Action.SYSTEMIC,
        "gRPC status codes: not retriable, and nothing is said of the rows",
        codes=(UNIMPLEMENTED, DATA_LOSS),
        unknown=True,
    ),
    Rule(
        BOTH,
        Action.REFRESH,
        "gRPC status codes: credentials are not valid, which a token that ran out mends",
        codes=(UNAUTHENTICATED,),
        limit=1,
    ),
    Rule(
        RPC_END,
        Action.RECONNECT,
        f"{_GO}: retried on a new connection; ABORTED is also the close after 600 s of idleness, OK a server closing",
        codes=(OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNAVAILABLE),
    ),
    Rule(SILENCE, Action.RECONNECT, "a backend gives a request 2 minutes (Write API documentation); ours is a setting"),
)


def find(channel: Channel, code: int, message: str, *, storage_error: int = 0, row_errors: bool = False) -> Rule:
    """Return the one rule that fits; a status that gRPC does not name counts as UNKNOWN."""
    code = code if 0 <= code < len(CODE_NAMES) else UNKNOWN
    fitting = [rule for rule in RULES if channel in rule.channels and (not rule.codes or code in rule.codes)]
    ranked = (
        [rule for rule in fitting if rule.row_errors and row_errors],
        [rule for rule in fitting if storage_error in rule.storage_errors],
        [rule for rule in fitting if rule.wording and rule.wording.search(message)],
        [rule for rule in fitting if not (rule.row_errors or rule.storage_errors or rule.wording)],
    )
    return next(rules[0] for rules in ranked if rules)
