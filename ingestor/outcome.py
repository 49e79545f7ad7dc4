"""What an answer of AppendRows means. Pure: no client library; the table stands in `outcome_rules`.

Two channels must be kept apart. An answer *in band* with an error says that nothing of its request was written, and
the connection lives. The *end of the call* says nothing about the requests that were not answered yet: they are
unknown, and sending them again may double rows (the dedup view shows them once). So is *silence*.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

from ingestor.outcome_rules import CODE_NAMES, OK, STORAGE_ERROR_NAMES, Action, Channel, Rule, find

__all__ = [
    "Action",
    "Basic",
    "Channel",
    "Outcome",
    "RowError",
    "answered",
    "ended",
    "fingerprint",
    "fingerprint_of",
    "name",
    "normalised",
    "silent",
    "storage_error_name",
]

NO_ANSWER = "NO_ANSWER"
"""Stands where a gRPC status would, when there was no answer."""
FINGERPRINT_SIZE = 12


class Basic(Enum):
    """The coarse view: in the table, send it again, or neither."""

    APPENDED = "appended"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that was refused. `index` counts within the request that was answered, not within the batch."""

    index: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A classified answer.

    Attributes:
        action: what to do.
        code: the gRPC status' name, or `NO_ANSWER`.
        message: the service's own text; it may hold values of records, so it belongs in no log (`normalised` does).
        storage_error: `StorageError` code, 0 where there was none.
        row_errors: the refused rows that the service named; there may be more.
        unknown: the rows may have been written: the batch is in doubt whatever becomes of it.
        updated_schema: the table's schema moved since the writer schema was made.
        limit: how often in a row the action may be taken before it becomes `spent`; None: the run's own budget.
        limit_s: for how many seconds, likewise.
        spent: what the action becomes then.
    """

    action: Action
    code: str = "OK"
    message: str = ""
    storage_error: int = 0
    row_errors: tuple[RowError, ...] = ()
    unknown: bool = False
    updated_schema: bool = False
    limit: int | None = None
    limit_s: float | None = None
    spent: Action = Action.SYSTEMIC

    @property
    def basic(self) -> Basic:
        """The coarse view."""
        match self.action:
            case Action.APPENDED:
                return Basic.APPENDED
            case Action.RETRY | Action.RECONNECT | Action.SLOW_DOWN:
                return Basic.AGAIN
            case _:
                return Basic.REFUSED

    @property
    def storage_error_name(self) -> str:
        """The `StorageError` code's name; empty where there was none."""
        return storage_error_name(self.storage_error)

    def refused_among(self, rows: int) -> dict[int, str]:
        """The service's words for each refused row, by its place among the `rows` of the request; there may be more."""
        return {error.index: error.message for error in self.row_errors if 0 <= error.index < rows}

    @property
    def alone(self) -> str:
        """Why a row is refused that is too large even as a request of its own."""
        return f"the row cannot be sent alone: {normalised(self.message)}"


def answered(
    code: int,
    message: str = "",
    *,
    storage_error: int = 0,
    row_errors: tuple[RowError, ...] = (),
    updated_schema: bool = False,
) -> Outcome:
    """Classify an answer that came in band: `code` 0 with no row errors is an append."""
    rule = find(Channel.IN_BAND, code, message, storage_error=storage_error, row_errors=bool(row_errors))
    if rule.action is Action.APPENDED:
        return Outcome(Action.APPENDED, updated_schema=updated_schema)
    return _outcome(rule, name(code), message, storage_error, row_errors, updated_schema=updated_schema)


def ended(code: int, message: str = "", *, storage_error: int = 0) -> Outcome:
    """Classify the end of the call for the requests that it leaves unanswered."""
    return _outcome(find(Channel.RPC_END, code, message, storage_error=storage_error), name(code), message,
                    storage_error, unknown=True)  # fmt: skip


def silent(waited_s: float) -> Outcome:
    """Classify a request that got no answer in `waited_s` seconds."""
    message = f"no answer in {waited_s:g} s"
    return _outcome(find(Channel.SILENCE, OK, message), NO_ANSWER, message, unknown=True)


def name(code: int) -> str:
    """Return a gRPC status code's name."""
    return CODE_NAMES[code] if 0 <= code < len(CODE_NAMES) else str(code)


def storage_error_name(code: int) -> str:
    """Return a `StorageError` code's name, empty for 0."""
    if code == 0:
        return ""
    return STORAGE_ERROR_NAMES[code] if 0 < code < len(STORAGE_ERROR_NAMES) else str(code)


def _outcome(  # noqa: PLR0913 - an outcome's parts
    rule: Rule,
    code: str,
    message: str,
    storage_error: int = 0,
    row_errors: tuple[RowError, ...] = (),
    *,
    unknown: bool = False,
    updated_schema: bool = False,
) -> Outcome:
    return Outcome(
        action=rule.action,
        code=code,
        message=message,
        storage_error=storage_error,
        row_errors=row_errors,
        unknown=unknown or rule.unknown,
        updated_schema=updated_schema,
        limit=rule.limit,
        limit_s=rule.limit_s,
        spent=rule.spent,
    )


_REPLACED = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\bprojects/[^\s,;'\"()]+", "<resource>"),
        (r"\b[a-z]+://[^\s'\"()]+", "<url>"),
        (r"\"(?:[^\"\\]|\\.)*\"|`[^`]*`|(?<!\w)'(?:[^'\\]|\\.)*'", "<value>"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b(?=\w*\d)[0-9a-zA-Z_-]{16,}\b", "<id>"),
        (r"(?<![\w.])[-+]?\d+(?:[.,:_]\d+)*(?:[eE][-+]?\d+)?", "<n>"),
    )
)
_LONGEST = 300


def normalised(message: str) -> str:
    """Return the message without what differs between two occurrences of one error: names, values, ids, numbers."""
    for pattern, by in _REPLACED:
        message = pattern.sub(by, message)
    return " ".join(message.split())[:_LONGEST]


def fingerprint(outcome: Outcome) -> str:
    """Return 12 hex digits that are the same for the same kind of failure."""
    return fingerprint_of(outcome.action.value, outcome.code, outcome.storage_error, outcome.message)


def fingerprint_of(kind: str, code: str, storage_error: int, message: str) -> str:
    """Return the fingerprint of a failure that was stored as its parts."""
    parts = (kind, code, str(storage_error), normalised(message))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:FINGERPRINT_SIZE]
