"""Standard SQL of the three objects in the dataset: table, ledger table and dedup view. Pure text.

SQL has no words for policy tags; a comment names them.

The view shows every row of every committed batch once. What a batch is, the ledger table says: of several statements
about a batch one of the operators' lane wins over those of the source lane, then the one with the highest journal
version; clocks order nothing. Doubles have the same bytes, so which one is shown doesn't matter. `_ingest_time` stands
in the window's PARTITION BY because BigQuery lets a filter pass below a window only on such a column: only so does it
prune partitions. Window functions and not `ARRAY_AGG(… LIMIT 1)`: two to six times less slot time.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ingestor.columns import METADATA_COLUMNS, Column, columns_of
from ingestor.messages import descriptor_of, message_class

OPERATORS_LANE = "ops"
PARTITION_COLUMN = "_ingest_time"
CLUSTER_COLUMN = "_ingest_batch_id"
LEDGER_CLUSTER_COLUMN = "batch_id"

LEDGER_MESSAGE = "ingestor.LedgerStatement"


LATEST_STATEMENT = f"""ROW_NUMBER() OVER (
      PARTITION BY `batch_id`
      ORDER BY CASE WHEN `lane` = '{OPERATORS_LANE}' THEN 1 ELSE 0 END DESC, `version` DESC
    ) = 1"""
"""Tells the statement about a batch that counts."""


def ledger_id(table_id: str) -> str:
    """Return the name of the ledger table."""
    return f"{table_id}_ledger"


def dedup_id(table_id: str) -> str:
    """Return the name of the dedup view."""
    return f"{table_id}_dedup"


def latest_id(table_id: str) -> str:
    """Return the name of the view of the newest row of each business key."""
    return f"{table_id}_latest"


def ledger_columns() -> tuple[Column, ...]:
    """Return the columns of every ledger table: those of the message `ingestor.LedgerStatement`."""
    return columns_of(descriptor_of(message_class(LEDGER_MESSAGE)), metadata=False)


def statements(
    project: str, dataset: str, table_id: str, columns: Sequence[Column], key: Sequence[str] = ()
) -> dict[str, str]:
    """Return the DDL by object name, in the order in which it must run.

    `columns` are the table's, the metadata columns included; `key` those of the business key, none: no view of the
    newest rows. Existing tables stay as they are, views are replaced.
    """
    table, ledger, view = (quoted(project, dataset, name) for name in object_ids(table_id))
    layout = f"\nPARTITION BY TIMESTAMP_TRUNC(`{PARTITION_COLUMN}`, DAY)\nCLUSTER BY `{CLUSTER_COLUMN}`"
    query = dedup_query(project, dataset, table_id, columns)
    return {
        table_id: f"{_tags(columns)}CREATE TABLE IF NOT EXISTS {table} (\n{_lines(columns)}\n){layout};",
        ledger_id(table_id): f"CREATE TABLE IF NOT EXISTS {ledger} (\n{_lines(ledger_columns())}\n)"
        f"\nCLUSTER BY `{LEDGER_CLUSTER_COLUMN}`;",
        dedup_id(table_id): f"CREATE OR REPLACE VIEW {view} AS\n{query};",
        **_latest(project, dataset, table_id, columns, key),
    }


def _latest(project: str, dataset: str, table_id: str, columns: Sequence[Column], key: Sequence[str]) -> dict[str, str]:
    if not key:
        return {}
    view, query = latest_id(table_id), latest_query(project, dataset, table_id, columns, key)
    return {view: f"CREATE OR REPLACE VIEW {quoted(project, dataset, view)} AS\n{query};"}


def object_ids(table_id: str) -> tuple[str, str, str]:
    """Return the names of table, ledger table and dedup view."""
    return table_id, ledger_id(table_id), dedup_id(table_id)


def dedup_query(
    project: str, dataset: str, table_id: str, columns: Sequence[Column], others: Sequence[str] = ()
) -> str:
    """Return the view's query: the message's columns first, then `others` of the table, the metadata columns last."""
    return f"""SELECT {_selected(columns, others)}
FROM {quoted(project, dataset, table_id)}
WHERE `_ingest_batch_id` IN (
  SELECT `batch_id`
  FROM (
    SELECT `batch_id`, `status`
    FROM {quoted(project, dataset, ledger_id(table_id))}
    WHERE TRUE
    QUALIFY {LATEST_STATEMENT}
  )
  WHERE `status` = 'COMMITTED'
)
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY `_ingest_time`, `_ingest_batch_id`, `_ingest_row_index`
) = 1"""  # noqa: S608 (names from the configuration and the .proto; no values)


def latest_query(  # noqa: PLR0913, PLR0917 - where, what, and by which key
    project: str,
    dataset: str,
    table_id: str,
    columns: Sequence[Column],
    key: Sequence[str],
    others: Sequence[str] = (),
) -> str:
    """Return the query of the newest row of each business key: the latest ingest time, then the later place in its
    batch. It stands on the dedup view, and reads all of it: which row is the newest no partition tells by itself.
    """
    keys = ", ".join(f"`{name}`" for name in key)
    return f"""SELECT {_selected(columns, others)}
FROM {quoted(project, dataset, dedup_id(table_id))}
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY {keys}
  ORDER BY `_ingest_time` DESC, `_ingest_batch_id` DESC, `_ingest_row_index` DESC
) = 1"""  # noqa: S608 (names from the configuration and the .proto; no values)


def _selected(columns: Sequence[Column], others: Sequence[str]) -> str:
    """The message's columns first, then `others` of the table, the metadata columns last."""
    metadata = [column.name for column in METADATA_COLUMNS]
    names = [*(column.name for column in columns if column.name not in metadata), *others, *metadata]
    return ", ".join(f"`{name}`" for name in names)


def quoted(project: str, dataset: str, name: str) -> str:
    """Return the full name of an object in backticks."""
    return f"`{project}.{dataset}.{name}`"


def sql_column(column: Column) -> str:
    """Return the column as CREATE TABLE and ADD COLUMN write it."""
    return f"`{column.name}` {_type(column)}{_suffix(column)}"


def added_column(table: str, column: Column) -> str:
    """Return the statement, or the two, that add a column at the top of the table of this full name."""
    bare = replace(column, mode="REPEATED" if column.mode == "REPEATED" else "NULLABLE", default="")
    added = f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {sql_column(bare)};"
    return f"{added} {set_default(table, column)}" if column.default else added


def set_default(table: str, column: Column) -> str:
    """Return the statement that sets a column's default; BigQuery takes none in ADD COLUMN."""
    return f"ALTER TABLE {table} ALTER COLUMN `{column.name}` SET DEFAULT {column.default};"


def set_description(table: str, column: Column) -> str:
    """Return the statement that describes a column at the top."""
    return f"ALTER TABLE {table} ALTER COLUMN `{column.name}` SET OPTIONS(description={_literal(column.description)});"


def relaxed(table: str, name: str) -> str:
    """Return the statement that lets a column at the top be NULL."""
    return f"ALTER TABLE {table} ALTER COLUMN `{name}` DROP NOT NULL;"


def retyped(table: str, name: str, type_: str) -> str:
    """Return the statement that widens the type of a column at the top."""
    return f"ALTER TABLE {table} ALTER COLUMN `{name}` SET DATA TYPE {type_};"


def _tags(columns: Iterable[Column], prefix: str = "") -> str:
    lines = ""
    for column in columns:
        if column.policy_tag:
            lines += f"-- policy tag of {prefix}{column.name}, set outside SQL: {column.policy_tag}\n"
        lines += _tags(column.fields, f"{prefix}{column.name}.")
    return lines


def _lines(columns: Iterable[Column]) -> str:
    return ",\n".join(f"  {sql_column(column)}" for column in columns)


def _type(column: Column) -> str:
    name = column.type
    if column.type == "RECORD":
        inner = ", ".join(map(sql_column, column.fields))
        name = f"STRUCT<{inner}>"
    return f"ARRAY<{name}>" if column.mode == "REPEATED" else name


def _suffix(column: Column) -> str:
    default = f" DEFAULT {column.default}" if column.default else ""
    required = " NOT NULL" if column.mode == "REQUIRED" else ""
    described = f" OPTIONS(description={_literal(column.description)})" if column.description else ""
    return default + required + described


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a GoogleSQL string literal
