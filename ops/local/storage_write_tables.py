"""The tables of the Storage Write server: their columns, which may change while it runs, and the rows that landed."""

import datetime as dt
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.local.storage_write_columns import Declared, TableColumn, columns_from
from ops.local.storage_write_rows import Row

Tables = Mapping[str, Iterable[Declared] | Mapping[str, Any]]
_PARTS = 3


class TableError(ValueError):
    """A table is named wrongly, or there is none of that name; the message says which."""


@dataclass
class Table:
    """A table. `version` grows with each declaration, so that a connection notices."""

    columns: tuple[TableColumn, ...]
    version: int = 1
    rows: list[Row] = field(default_factory=list)


class TableStore:
    """Tables by `P.D.T`; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}

    def declare(self, name: str, columns: Iterable[Declared] | Mapping[str, Any]) -> None:
        """Create a table, or change its columns as DDL does: rows that are there stay as they are.

        Raises:
            TableError: the name is not `P.D.T`.
            ColumnError: a column can't be.
        """
        if len(name.split(".")) != _PARTS:
            raise TableError(f"{name!r} is no table; write PROJECT.DATASET.TABLE")
        parsed = columns_from(columns)
        with self._lock:
            old = self._tables.get(name)
            self._tables[name] = Table(parsed, old.version + 1, old.rows) if old else Table(parsed)

    def drop(self, name: str) -> None:
        """Delete a table and its rows; one that is not there is no error."""
        with self._lock:
            self._tables.pop(name, None)

    def find(self, name: str) -> Table | None:
        """Return the table as it is now."""
        with self._lock:
            return self._tables.get(name)

    def names(self) -> list[str]:
        """Return the names of all tables."""
        with self._lock:
            return sorted(self._tables)

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Keep rows that landed; of a table dropped meanwhile nothing is kept."""
        with self._lock:
            if table := self._tables.get(name):
                table.rows.extend(rows)

    def rows(self, name: str) -> list[Row]:
        """Return the table's rows in the order in which they landed.

        Raises:
            TableError: there is no such table.
        """
        with self._lock:
            table = self._tables.get(name)
            if table is None:
                raise TableError(f"there is no table {name}; declared are: {', '.join(sorted(self._tables)) or 'none'}")
            return list(table.rows)

    def clear(self) -> None:
        """Forget all rows and keep the tables."""
        with self._lock:
            for table in self._tables.values():
                table.rows.clear()


def now() -> dt.datetime:
    """Return the time in UTC, what CURRENT_TIMESTAMP() gives."""
    return dt.datetime.now(dt.UTC)
