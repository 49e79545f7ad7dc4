"""Columns as BigQuery's REST client has them, both ways, and what a table's fields become when a message needs more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingestor.binding import column_type
from ingestor.columns import Column, Mode, Table
from ingestor.errors import SchemaMismatch
from ingestor.lean import without

with without("pandas", "pyarrow"):
    from google.cloud import bigquery


def table_of(resource: Mapping[str, Any]) -> Table:
    """Return the table that a resource of BigQuery's REST API describes, as `bq show --format=prettyjson` prints it.

    Raises:
        SchemaMismatch: it describes no table.
    """
    try:
        found = bigquery.Table.from_api_repr(dict(resource))
        return table_read(found.table_id, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaMismatch(
            f"no description of a table: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error


def table_read(table_id: str, found: bigquery.Table) -> Table:
    """Return what the client read of a table or view."""
    partitioning = found.time_partitioning
    return Table(
        table_id=table_id,
        columns=tuple(column_read(field) for field in found.schema),
        partition_column=(partitioning.field or "_PARTITIONTIME") if partitioning else "",
        partition_unit=partitioning.type_ if partitioning else "",
        cluster_columns=tuple(found.clustering_fields or ()),
        is_view=found.table_type == "VIEW",
        query=found.view_query or "",
    )


def column_read(field: bigquery.SchemaField) -> Column:
    """Return the column that a field of the client's stands for."""
    mode: Mode = field.mode or "NULLABLE"
    type_ = column_type(field.field_type)
    element = field.range_element_type
    return Column(
        name=field.name,
        type=f"RANGE<{element.element_type.upper()}>" if type_ == "RANGE" and element else type_,
        mode=mode,
        description=field.description or "",
        fields=tuple(column_read(inner) for inner in field.fields),
        policy_tag=next(iter(field.policy_tags.names), "") if field.policy_tags else "",
        default=field.default_value_expression or "",
    )


def field_of(column: Column) -> bigquery.SchemaField:
    """Return the client's field of a column."""
    said: dict[str, Any] = {"description": column.description} if column.description else {}
    if column.policy_tag:
        said["policy_tags"] = bigquery.PolicyTagList([column.policy_tag])
    if column.default:
        said["default_value_expression"] = column.default
    type_, _, element = column.type.rstrip(">").partition("<")
    if element:
        said["range_element_type"] = element
    inner = tuple(field_of(part) for part in column.fields)
    return bigquery.SchemaField(column.name, type_, mode=column.mode, fields=inner, **said)


def _bare(column: Column) -> Column:
    """A column as an existing table takes it: nothing in it REQUIRED, no default yet."""
    mode: Mode = "REPEATED" if column.mode == "REPEATED" else "NULLABLE"
    return replace(column, mode=mode, default="", fields=tuple(map(_bare, column.fields)))


def merged(present: list[dict[str, Any]], wanted: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the table's own fields, changed as little as the wanted columns need, then the missing ones."""
    by_name = {column.name.lower(): column for column in wanted}
    kept = [_adapted(field, by_name.pop(field["name"].lower(), None)) for field in present]
    return kept + [field_of(_bare(column)).to_api_repr() for column in by_name.values()]


def _adapted(field: dict[str, Any], column: Column | None) -> dict[str, Any]:
    """The field as the service describes it, with what the column wants otherwise."""
    changed = dict(field)
    if field.get("mode") == "REQUIRED" and (column is None or column.mode == "NULLABLE"):
        changed["mode"] = "NULLABLE"
    if column is None:
        return changed
    if column.description:
        changed["description"] = column.description
    if column.default:
        changed["defaultValueExpression"] = column.default
    if column.policy_tag and not field.get("policyTags"):
        changed["policyTags"] = {"names": [column.policy_tag]}
    if column.fields:
        changed["fields"] = merged(field.get("fields", []), column.fields)
    return changed
