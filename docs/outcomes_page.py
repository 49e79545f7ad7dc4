"""The page `outcomes.md`, from the table of outcomes; `make docs` writes it."""  # noqa: INP001 - a script beside what it writes, not a package

from pathlib import Path

from ingestor.outcome import name, storage_error_name
from ingestor.outcome_rules import RULES, Action, Channel, Rule

PAGE = Path(__file__).parent / "outcomes.md"

MEANINGS = {
    Action.APPENDED: "the rows are in the table",
    Action.TAKE_OUT: "reject the rows that are named, send the rest again under the same batch id",
    Action.RETRY: "send again on the same connection after a pause",
    Action.RECONNECT: "send again on a new connection after a pause",
    Action.SLOW_DOWN: "quota: halve the window, pause, send again; the connection is kept if it lives",
    Action.HALVE: "send the batch in two requests; a row that is too large alone is rejected alone",
    Action.BATCH_FAILURE: "dead-letter this batch, go on",
    Action.SYSTEMIC: "dead-letter what is in flight, stop; later runs probe",
    Action.WAIT_FOR_TABLE: "when the table's metadata is there, send again on a new connection; else stop",
    Action.REFRESH: "new credentials on a new connection, once",
}
HEAD = """<!-- Written by `make docs`; change `ingestor/outcome_rules.py`, not this file. -->
# What BigQuery answers, and what follows

An answer *in band* speaks of one request, and the connection lives. The *end of the call* speaks of everything that was
sent and not answered: whether those rows were written, nobody knows, so they are sent again and the view hides doubles.
*Silence* ends the connection from our side and counts the same.

The first kind of sign that is there decides: refused rows, then the `StorageError` in the status' details, then the
wording of the message, then the gRPC status. An action that may be taken a limited number of times in a row, or for a
limited time, turns into what its row says; every other one is bounded by the run's own budget of tries
and turns into the same.

## Actions

| action | means |
|---|---|
"""

TABLE = """
## Answers

| sign | channel | rows written? | action | bound, then | source |
|---|---|---|---|---|---|
"""

TAIL = """
An answer that carries an updated schema is classified as if it did not; the run learns that the writer schema is older
than the table. A status number that gRPC does not name counts as `UNKNOWN`, a `StorageError` code that is not listed is
passed over.

What the table cannot know: the wording of messages is not part of the service's contract. A message that is worded
otherwise falls to its gRPC status: a request that is too large is then a failure of its batch instead of being halved,
a refused writer schema a failure of each batch until the fuse stops the run.
"""


def page() -> str:
    """Return the whole page."""
    actions = "".join(f"| `{action.value}` | {MEANINGS[action]} |\n" for action in Action)
    return HEAD + actions + TABLE + "".join(map(_row, RULES)) + TAIL


def _row(rule: Rule) -> str:
    channels = ", ".join(channel.value for channel in rule.channels)
    cells = (_sign(rule), channels, _written(rule), f"`{rule.action.value}`", _bound(rule), rule.source)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _sign(rule: Rule) -> str:
    if rule.row_errors:
        return "refused rows are named, whatever the status"
    if rule.storage_errors:
        return ", ".join(f"`{storage_error_name(code)}` ({code})" for code in rule.storage_errors)
    codes = ", ".join(f"`{name(code)}`" for code in rule.codes) or "no answer in time"
    return f"{codes}, message like `{rule.wording.pattern}`" if rule.wording else codes


def _written(rule: Rule) -> str:
    if rule.action is Action.APPENDED:
        return "yes"
    if rule.unknown or Channel.IN_BAND not in rule.channels:
        return "unknown"
    return "no" if rule.channels == (Channel.IN_BAND,) else "in band: no; else unknown"


def _bound(rule: Rule) -> str:
    if rule.action is rule.spent or rule.action in (Action.APPENDED, Action.BATCH_FAILURE):
        return ""
    bounds = [f"{rule.limit}\u00d7" if rule.limit else "", f"{rule.limit_s:g} s" if rule.limit_s else ""]
    return f"{' and '.join(filter(None, bounds)) or 'budget'}, then `{rule.spent.value}`"
