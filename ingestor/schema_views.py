"""The views beside a table: what they must say, and how what is there differs from it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingestor import ddl
from ingestor.columns import Column, Table
from ingestor.errors import SchemaMismatch
from ingestor.schema_compare import Difference

_NO_KEY = frozenset({"RECORD", "JSON", "GEOGRAPHY", "FLOAT64", "FLOAT", "INTERVAL", "RANGE"})
"""Types that rows can't be grouped by (GoogleSQL, "Groupable data types"); RANGE can, but nobody's key is one."""


@dataclass(frozen=True, slots=True)
class View:
    """A view as it should be and as it is.

    `query` shows the message's columns, `full_query` those that the table has beside them too; a view with either is
    fine. `shown` are the columns that there are to show; None while there is no table.
    """

    view_id: str
    what: str
    query: str
    full_query: str
    found: Table | None
    shown: frozenset[str] | None

    def differences(self) -> Iterator[Difference]:
        """Yield how the view is otherwise than it should be."""
        view_id, found = self.view_id, self.found
        if found is None:
            yield Difference(f"view {view_id} doesn't exist", mendable=True)
        elif not found.is_view:
            yield Difference(f"{view_id} is a table, not the {self.what}; rename or drop it")
        elif not _shows(found.query, self.query):
            yield Difference(f"view {view_id} is not the one this version writes; replace it", mendable=True)
        elif self.shown is not None and (gone := sorted(_columns_in(found.query) - self.shown)):
            text = f"view {view_id} shows {', '.join(gone)}, which the table lacks; replace it"
            yield Difference(text, mendable=True)
        elif not _shows(found.query, self.full_query):
            text = f"view {view_id} lacks columns that the table has beside the message's; replace it"
            yield Difference(text, mendable=True, blocking=False)


def key_columns(columns: Sequence[Column], dedup_key: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of DEDUP_KEY as the table spells them.

    Raises:
        SchemaMismatch: the message has no such column, or it can't be a key.
    """
    known = {column.name.lower(): column for column in columns}
    wrong = [each for name in dedup_key if (each := _problem(known.get(name.lower()), name))]
    if wrong:
        raise SchemaMismatch(f"DEDUP_KEY: {'; '.join(wrong)}; name columns of the message, separated by commas")
    return tuple(known[name.lower()].name for name in dedup_key)


def _problem(column: Column | None, name: str) -> str:
    if column is None or column.name.startswith("_ingest_"):
        return f"{name} is no column of the message"
    if column.mode == "REPEATED" or column.type.partition("<")[0] in _NO_KEY:
        return f"{name} is {'a list' if column.mode == 'REPEATED' else column.type}, by which rows can't be grouped"
    return ""


def view_ids(table_id: str, dedup_key: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the views, in the order in which they must be made."""
    return (ddl.dedup_id(table_id), *((ddl.latest_id(table_id),) if dedup_key else ()))


def _shows(text: str, query: str) -> bool:
    """Whether a view's text shows the wanted query's columns, perhaps among others, by the same rules."""
    rules, wanted_rules = (_squeezed(each).partition("FROM`")[2] for each in (text, query))
    return rules == wanted_rules and _columns_in(query) <= _columns_in(text)


def _columns_in(query: str) -> set[str]:
    return set(_squeezed(query).removeprefix("SELECT").partition("FROM`")[0].replace("`", "").split(","))


def _squeezed(text: str) -> str:
    """The text without white space, which the service may set anew, and quotes, which the emulator's answer lacks."""
    return re.sub(r"[\s']", "", text)
