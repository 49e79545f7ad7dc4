"""What the local BigQuery emulator needs besides its REST calls: its rows don't follow a schema that REST extends.

A column at the top is added by the standard's SQL. SQL has no words for a part of a RECORD; but the emulator hands what
it doesn't understand to DuckDB as it is, so that is written in DuckDB's. Never used against BigQuery.
"""

from collections.abc import Iterator, Sequence

from ingestor.columns import Column, Mode
from ingestor.ddl import quoted, relaxed, sql_column

_TYPES = {
    "BIGNUMERIC": "DECIMAL(38,19)",
    "BOOL": "BOOLEAN",
    "BYTES": "BLOB",
    "DATETIME": "TIMESTAMP",
    "FLOAT64": "DOUBLE",
    "GEOGRAPHY": "VARCHAR",
    "INT64": "BIGINT",
    "NUMERIC": "DECIMAL(38,9)",
    "STRING": "VARCHAR",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
}


def statements(
    project: str, dataset: str, table_id: str, present: Sequence[Column], wanted: Sequence[Column]
) -> Iterator[str]:
    """Yield the statements that give the table's rows every column that `wanted` has and `present` lacks, and that let
    be NULL what may be NULL there.
    """
    required = {column.name.lower() for column in wanted if column.mode == "REQUIRED"}
    for column in present:
        if column.mode == "REQUIRED" and column.name.lower() not in required:
            yield relaxed(quoted(project, dataset, table_id), column.name)
    for path, column in _absent((), present, wanted):
        if len(path) == 1:
            table = quoted(project, dataset, table_id)
            yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {sql_column(_bare(column))}"
        else:
            part = ".".join(f'"{name}"' for name in path)
            yield f'ALTER TABLE "{project}__{dataset}"."{table_id}" ADD COLUMN IF NOT EXISTS {part} {_type(column)}'


def _bare(column: Column) -> Column:
    mode: Mode = "REPEATED" if column.mode == "REPEATED" else "NULLABLE"
    return Column(column.name, column.type, mode, fields=tuple(map(_bare, column.fields)))


def _absent(
    above: tuple[str, ...], present: Sequence[Column], wanted: Sequence[Column]
) -> Iterator[tuple[tuple[str, ...], Column]]:
    by_name = {column.name.lower(): column for column in present}
    for column in wanted:
        found = by_name.get(column.name.lower())
        if found is None:
            yield (*above, column.name), column
        else:
            element = ("element",) if found.mode == "REPEATED" else ()
            yield from _absent((*above, found.name, *element), found.fields, column.fields)


def _type(column: Column) -> str:
    name = _TYPES.get(column.type, column.type)
    if column.type == "RECORD":
        inner = ", ".join(f'"{part.name}" {_type(part)}' for part in column.fields)
        name = f"STRUCT({inner})"
    return f"{name}[]" if column.mode == "REPEATED" else name
