"""What an answer of AppendRows means. Pure: one table, no client library; codes are gRPC's numbers.

Two channels must be kept apart. An answer *in band* with an error says that nothing of its request was written, and
the connection lives. The *end of the RPC* says nothing about the requests that were not answered yet: they are in
doubt, and sending them again may double rows (the dedup view shows them once). Sources: the service's AppendRows
documentation and the retry rules of Google's Go, Java and Beam clients, collected in `docs/decisions.md`.
"""

from dataclasses import dataclass
from enum import Enum

OK = 0
CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 1, 2, 3, 4, 5, 6
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED = 7, 8, 9, 10, 11, 12
INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = 13, 14, 15, 16

NAMES = (
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


class Action(Enum):
    """What the run does with the batch."""

    APPENDED = "appended"
    RETRY = "retry"
    """Nothing was written: send it again after a pause."""
    REFUSED = "refused"
    """Nothing was written, and sending it again would not help."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A classified answer. `code` is the gRPC status' name, `message` the service's text."""

    action: Action
    code: str = "OK"
    message: str = ""


_RETRIED_IN_BAND = {ABORTED, INTERNAL, UNAVAILABLE, RESOURCE_EXHAUSTED, CANCELLED, DEADLINE_EXCEEDED, UNKNOWN}
_RETRIED_AFTER_RPC_END = _RETRIED_IN_BAND | {OK}


def answered(code: int, message: str = "", *, row_errors: int = 0) -> Outcome:
    """Classify an answer that came in band: `code` 0 with no row errors is an append."""
    if row_errors:
        return Outcome(Action.REFUSED, name(code), f"{row_errors} rows refused: {message}")
    if code == OK:
        return Outcome(Action.APPENDED)
    return Outcome(Action.RETRY if code in _RETRIED_IN_BAND else Action.REFUSED, name(code), message)


def ended(code: int, message: str = "") -> Outcome:
    """Classify the end of the RPC for the requests that it leaves unanswered (RETRY: on a new connection)."""
    return Outcome(Action.RETRY if code in _RETRIED_AFTER_RPC_END else Action.REFUSED, name(code), message)


def name(code: int) -> str:
    """Return a gRPC status code's name."""
    return NAMES[code] if 0 <= code < len(NAMES) else str(code)
