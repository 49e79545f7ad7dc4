"""What a rule does to the request that it matched."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ops.local.storage_write_columns import ColumnError, TableColumn, columns_from
from ops.local.storage_write_protocol import Refusal, RowError, code_number, storage_error_number

Kind = Literal["append", "answer", "end", "cut", "hold"]
When = Literal["before", "after", "answered"]

DRAINING = "The server is draining; reconnect."
IDLE = "Closing the stream because the connection was idle."
CUT = Refusal("UNAVAILABLE", "Connection reset by peer", ends=True)
"""What a cut is called in the list of requests; the client hears of a reset from its own end."""

MATCHING = "matching"
_DETAILS = frozenset({"message", "storage_error", "entity"})
_ALLOWED = {
    "": frozenset({"delay_s", "updated_schema"}),
    "answer": _DETAILS | {"answer", "delay_s", "row_errors"},
    "end": _DETAILS | {"end", "delay_s", "when"},
    "cut": frozenset({"cut", "delay_s"}),
    "hold": frozenset({"hold"}),
    "idle_close_s": frozenset({"idle_close_s", "delay_s", "updated_schema"}),
    "go_away": frozenset({"go_away", "delay_s"}),
}


class ScriptError(ValueError):
    """A script makes no sense; one line says what and what to write instead."""


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request.

    `append` serves it as usual, `answer` gives `refusal` in band, `end` ends the RPC with it, `cut` resets the TCP
    connection, `hold` never answers. `when`, for the last three: before the request is applied, after it, or after it
    was answered too. `delay_s` puts the answer, the end or the cut off. `idle_s` closes the connection with ABORTED as
    soon as it has been idle for so long after this answer.
    """

    kind: Kind = "append"
    refusal: Refusal | None = None
    when: When = "before"
    delay_s: float = 0.0
    idle_s: float | None = None
    matching_rows: bool = False
    updated_schema: bool | tuple[TableColumn, ...] = False

    @property
    def applies(self) -> bool:
        """Whether the request is served before anything goes wrong."""
        return self.kind == "append" or (self.kind != "answer" and self.when != "before")

    def refusal_for(self, rows: list[int]) -> Refusal:
        """Return the refusal; where the rule says so, with a row error for each of these rows."""
        refusal = self.refusal or CUT
        if not self.matching_rows:
            return refusal
        return replace(refusal, row_errors=tuple(RowError(index, refusal.message) for index in rows))


def action_from(do: Any) -> Action:  # noqa: ANN401 - whatever the JSON says
    """Return the action of its JSON form.

    Raises:
        ScriptError: it makes no sense.
    """
    if not isinstance(do, Mapping):
        raise ScriptError(f'"do" is an object, not {do!r}')
    verbs = [verb for verb in _ALLOWED if verb in do]
    if len(verbs) > 1:
        raise ScriptError(f"a rule does one thing, not {' and '.join(verbs)}")
    verb = verbs[0] if verbs else ""
    known_only(verb or "do", do, _ALLOWED[verb])
    delay_s = _seconds(do.get("delay_s", 0))
    match verb:
        case "answer":
            matching = do.get("row_errors") == MATCHING
            return Action("answer", _refusal(do, verb), delay_s=delay_s, matching_rows=matching)
        case "end":
            return Action("end", _refusal(do, verb), _when(do.get("when", "before")), delay_s)
        case "go_away":
            return Action("end", Refusal("UNAVAILABLE", DRAINING, ends=True), _when(do[verb]), delay_s)
        case "cut":
            return Action("cut", CUT, _when(do[verb]), delay_s)
        case "hold":
            return Action("hold", None, _when(do[verb], ("before", "after")))
        case _:
            idle_s = _seconds(do[verb]) if verb else None
            return Action(delay_s=delay_s, idle_s=idle_s, updated_schema=_schema(do.get("updated_schema", False)))


def known_only(what: str, document: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse keys that mean nothing: a misspelt rule would never match and nobody would notice.

    Raises:
        ScriptError: there is one.
    """
    if unknown := sorted(document.keys() - set(known)):
        raise ScriptError(f"{what} knows no {', '.join(unknown)}; known are {', '.join(sorted(filter(None, known)))}")


def _refusal(do: Mapping[str, Any], verb: str) -> Refusal:
    try:
        code_number(do[verb])
        storage_error = None if "storage_error" not in do else storage_error_number(do["storage_error"])
    except (ValueError, TypeError) as error:
        raise ScriptError(f"{verb}: {error}; codes are gRPC's names and StorageError's names or numbers") from error
    message = str(do.get("message", f"{do[verb]} by script"))
    listed = do.get("row_errors", [])
    rows = tuple(_row_error(each, message) for each in (() if listed == MATCHING else listed))
    return Refusal(do[verb], message, storage_error, str(do.get("entity", "")), rows, ends=verb == "end")


def _row_error(document: Any, message: str) -> RowError:  # noqa: ANN401 - whatever the JSON says
    if isinstance(document, int):
        return RowError(document, message)
    if not isinstance(document, Mapping) or "index" not in document:
        raise ScriptError(f'row_errors is "{MATCHING}" or a list of indexes or {{"index", "message", "code"}}')
    known_only("row_errors", document, {"index", "message", "code"})
    return RowError(int(document["index"]), str(document.get("message", message)), int(document.get("code", 1)))


def _when(word: Any, known: tuple[str, ...] = get_args(When)) -> When:  # noqa: ANN401 - likewise
    for each in get_args(When):
        if word == each and word in known:
            return each  # type: ignore[no-any-return]
    raise ScriptError(f"that happens {' or '.join(known)}, not {word!r}")


def _seconds(number: Any) -> float:  # noqa: ANN401 - likewise
    if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
        raise ScriptError(f"seconds are a number from 0, not {number!r}")
    return float(number)


def _schema(wanted: Any) -> bool | tuple[TableColumn, ...]:  # noqa: ANN401 - likewise
    if isinstance(wanted, bool):
        return wanted
    try:
        return columns_from(wanted)
    except (ColumnError, TypeError) as error:
        raise ScriptError(f"updated_schema is true or columns: {error}") from error
