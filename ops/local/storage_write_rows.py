"""Rows: decoded by the writer schema into the columns' values, or refused one by one."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from ops.local.storage_write_columns import TableColumn
from ops.local.storage_write_protocol import RowError
from ops.local.storage_write_schema import Cell

Row = dict[str, Any]
NULL_VALUE, DEFAULT_VALUE = 1, 2
"""Numbers of MissingValueInterpretation."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


class FieldError(ValueError):
    """A value that its column can't take; the message names the column."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of one writer schema for one version of a table.

    `interpretations` says per top-level column what a value missing in a row means, `otherwise` for the rest.
    """

    message: Any
    cells: tuple[Cell, ...]
    columns: tuple[TableColumn, ...]
    now: Callable[[], dt.datetime]

    def read(
        self, rows: Sequence[bytes], interpretations: Mapping[str, int], otherwise: int
    ) -> tuple[list[Row], tuple[RowError, ...]]:
        """Return the rows' values and the errors of those that are refused."""
        values, errors = list[Row](), list[RowError]()
        missing = {name.lower(): each for name, each in interpretations.items()}
        for index, data in enumerate(rows):
            try:
                message = self.message.FromString(data)
                if absent := message.FindInitializationErrors():
                    raise FieldError(f"Field {absent[0]}: required field is missing")  # noqa: TRY301 - one place
                values.append(self._structure(message, self.cells, self.columns, "", (missing, otherwise)))
            except DecodeError as error:
                errors.append(RowError(index, f"Row can't be parsed: {error}"))
            except FieldError as error:
                errors.append(RowError(index, str(error)))
        return values, tuple(errors)

    def _structure(
        self,
        message: Any,  # noqa: ANN401 - a class made at run time
        cells: tuple[Cell, ...],
        columns: tuple[TableColumn, ...],
        path: str,
        missing: tuple[Mapping[str, int], int],
    ) -> Row:
        row: Row = {column.name: [] if column.mode == "REPEATED" else None for column in columns}
        sent = {cell.column.name: cell for cell in cells}
        for column in columns:
            cell, name = sent.get(column.name), f"{path}{column.name}"
            if cell is not None and cell.repeated:
                row[column.name] = [self._value(cell, value, name) for value in getattr(message, cell.field)]
            elif cell is not None and (cell.has_default or message.HasField(cell.field)):
                row[column.name] = self._value(cell, getattr(message, cell.field), name)
            elif cell is None or missing[0].get(column.name.lower(), missing[1]) == DEFAULT_VALUE:
                row[column.name] = default_value(column, self.now)
            if row[column.name] is None and column.mode == "REQUIRED":
                raise FieldError(f"Field {name}: required field is missing or null")
        return row

    def _value(self, cell: Cell, value: Any, path: str) -> Any:  # noqa: ANN401 - whatever the field holds
        if cell.convert is None:
            parts = cell.column.fields or tuple(each.column for each in cell.cells)
            inner = self._structure(value, cell.cells, parts, f"{path}.", ({}, NULL_VALUE))
            return _range(inner, path) if cell.column.type == "RANGE" else inner
        try:
            result = cell.convert(value if cell.labels is None else cell.labels[value])
        except ValueError as error:
            raise FieldError(f"Field {path}: {error}") from error
        limit = cell.column.max_length
        if limit is not None and len(result) > limit:
            raise FieldError(f"Field {path}: longer than {limit}")
        return result


def default_value(column: TableColumn, now: Callable[[], dt.datetime]) -> Any:  # noqa: ANN401 - the column's type decides
    """Return a column's default: a literal or the current time, which is all that is understood of SQL here.

    Raises:
        FieldError: another expression.
    """
    expression = (column.default or "NULL").strip()
    word = expression.upper().removesuffix("()")
    known: dict[str, Callable[[], Any]] = {
        "NULL": lambda: [] if column.mode == "REPEATED" else None,
        "TRUE": lambda: True,
        "FALSE": lambda: False,
        "CURRENT_TIMESTAMP": now,
        "CURRENT_DATE": lambda: now().date(),
        "CURRENT_DATETIME": lambda: now().replace(tzinfo=None),
    }
    if word in known:
        return known[word]()
    if expression[:1] in "'\"" and expression[-1:] == expression[:1]:
        return expression[1:-1]
    if _NUMBER.fullmatch(expression):
        return float(expression) if column.type == "FLOAT64" else int(expression)
    raise FieldError(f"Field {column.name}: this server can't work out the default {expression}")


def _range(parts: Row, path: str) -> Row:
    start, end = parts.get("start"), parts.get("end")
    if start is not None and end is not None and start >= end:
        raise FieldError(f"Field {path}: a RANGE starts before it ends")
    return {"start": start, "end": end}
