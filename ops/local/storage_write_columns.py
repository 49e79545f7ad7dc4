"""Columns of a table as the Storage Write server knows them, and the schema it tells of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from google.cloud.bigquery_storage_v1.types import TableSchema

from ingestor.columns import Column, Mode

_ALIASES = {
    "BIGDECIMAL": "BIGNUMERIC",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "FLOAT": "FLOAT64",
    "INTEGER": "INT64",
    "STRUCT": "RECORD",
}
# The Storage API has names of its own for two types ("TableFieldSchema.Type").
_STORAGE_TYPES = {"FLOAT64": "DOUBLE", "RECORD": "STRUCT"}
TYPES = frozenset(
    {
        "BIGNUMERIC",
        "BOOL",
        "BYTES",
        "DATE",
        "DATETIME",
        "FLOAT64",
        "GEOGRAPHY",
        "INT64",
        "INTERVAL",
        "JSON",
        "NUMERIC",
        "RANGE",
        "RECORD",
        "STRING",
        "TIME",
        "TIMESTAMP",
    }
)
RANGE_ELEMENTS = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_RANGE = re.compile(r"RANGE\s*<\s*(\w+)\s*>")
_Schema: Any = TableSchema.pb()


class ColumnError(ValueError):
    """A table is declared with a column that can't be; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column. `type` is the standard SQL name, RECORD for a structure; `element` is a RANGE's element type.

    `max_length` bounds characters of a STRING and bytes of BYTES. `default` is the SQL expression of its default value.
    """

    name: str
    type: str
    mode: Mode = "NULLABLE"
    fields: tuple["TableColumn", ...] = ()
    element: str = ""
    max_length: int | None = None
    default: str | None = None


Declared = Column | TableColumn | Mapping[str, Any]


def columns_from(declared: Iterable[Declared] | Mapping[str, Any]) -> tuple[TableColumn, ...]:
    """Return the columns of a list of them, of a REST schema `{"fields": [...]}` or of a REST table.

    Raises:
        ColumnError: a column has no name, an unknown type or mode, or a structure without fields.
    """
    if isinstance(declared, Mapping):
        schema = declared.get("schema", declared)
        if not isinstance(schema, Mapping) or "fields" not in schema:
            raise ColumnError('a table is a list of columns or a REST schema {"fields": [...]}')
        return columns_from(list(schema["fields"]))
    columns = tuple(_column(each) for each in declared)
    names = [column.name.lower() for column in columns]
    if not names or len(set(names)) < len(names):
        raise ColumnError("a table or RECORD needs columns, with names that differ in more than case")
    return columns


def table_schema(columns: Iterable[TableColumn]) -> Any:  # noqa: ANN401 - the raw message class has no static type
    """Return the `TableSchema` message of the columns."""
    schema = _Schema()
    _add_fields(schema, columns)
    return schema


def _column(declared: Declared) -> TableColumn:
    if isinstance(declared, TableColumn):
        return declared
    if isinstance(declared, Column):
        declared = {"name": declared.name, "type": declared.type, "mode": declared.mode, "fields": declared.fields}
    name, kind = str(declared.get("name", "")), str(declared.get("type", "")).upper()
    mode = str(declared.get("mode") or "NULLABLE").upper()
    element = str((declared.get("rangeElementType") or {}).get("type", "")).upper()
    if match := _RANGE.fullmatch(kind):
        kind, element = "RANGE", match.group(1)
    kind = _ALIASES.get(kind, kind)
    _check(name, kind, mode, element)
    length = declared.get("maxLength")
    return TableColumn(
        name=name,
        type=kind,
        mode=next(each for each in get_args(Mode) if each == mode),
        fields=columns_from(declared.get("fields") or ()) if kind == "RECORD" else (),
        element=element,
        max_length=None if length is None else int(length),
        default=declared.get("defaultValueExpression"),
    )


def _check(name: str, kind: str, mode: str, element: str) -> None:
    if not name:
        raise ColumnError(f"a column of type {kind or '?'} has no name")
    if kind not in TYPES:
        raise ColumnError(f"column {name}: there is no type {kind!r}; known are {', '.join(sorted(TYPES))}")
    if mode not in get_args(Mode):
        raise ColumnError(f"column {name}: there is no mode {mode!r}; known are {', '.join(get_args(Mode))}")
    if kind == "RANGE" and element not in RANGE_ELEMENTS:
        raise ColumnError(f'column {name}: a RANGE says of what, e.g. "RANGE<DATE>"')


def _add_fields(parent: Any, columns: Iterable[TableColumn]) -> None:  # noqa: ANN401 - likewise
    for column in columns:
        field = parent.fields.add(name=column.name, mode=column.mode, type_=_storage_type(column.type))
        if column.element:
            field.range_element_type.type_ = column.element
        if column.max_length is not None:
            field.max_length = column.max_length
        if column.default is not None:
            field.default_value_expression = column.default
        _add_fields(field, column.fields)


def _storage_type(kind: str) -> str:
    return _STORAGE_TYPES.get(kind, kind)
