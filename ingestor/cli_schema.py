"""The commands `ingestor schema …`: compare, plan and apply what the message needs of BigQuery."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestor.config import load
from ingestor.errors import ConfigurationError, DifferenceFound

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from ingestor.columns import Table
    from ingestor.schema_compare import Comparison

NEXT = {
    "additive": "run `ingestor schema plan` to see what would mend it, then `apply`",
    "incompatible": "nothing that `ingestor schema apply` does mends all of this",
}


@click.group()
def schema() -> None:
    """Compare, plan and apply what the message needs of BigQuery."""


@schema.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print verdict, differences and warnings as JSON.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with a table recorded by `schema record` or `bq show --format=prettyjson`, offline.",
)
@click.option("--message", help="Full name of the message; MESSAGE_TYPE by default. Needs no configuration.")
def schema_check(*, as_json: bool, against: Path | None, message: str | None) -> None:
    """Compare the message with table, ledger table and view; exit 4 when a run would be refused."""
    if message and not against:
        raise click.UsageError("--message goes with --against")
    comparison, warnings = _recorded(against, message) if against else _live()
    if as_json:
        click.echo(json.dumps(_as_json(comparison, warnings)))
    else:
        _print(comparison, warnings)
    if comparison.blocking:
        raise DifferenceFound(f"{comparison.verdict}: {NEXT[comparison.verdict]}")


@schema.command("plan")
def schema_plan() -> None:
    """Print what `schema apply` would do; change nothing."""
    from ingestor.schema import plan  # noqa: PLC0415 - Google's clients cost a second

    click.echo("\n".join(_with_tables(plan)) or "nothing to do")


@schema.command("apply")
def schema_apply() -> None:
    """Create what is missing, add columns, let columns be NULL; refuse everything else."""
    from ingestor.schema import apply  # noqa: PLC0415 - likewise

    done = _with_tables(lambda tables, table_id, message, key: apply(tables, table_id, message, click.echo, key))
    click.echo(f"done: {len(done)} change(s)" if done else "nothing to do")


@schema.command("sql")
@click.option("--json", "as_json", is_flag=True, help="Print the same as data, which the Terraform module reads.")
def schema_sql(*, as_json: bool) -> None:
    """Print the DDL of table, ledger table and view, for tables that are managed elsewhere."""
    from ingestor.columns import columns_of  # noqa: PLC0415 - likewise
    from ingestor.ddl import statements  # noqa: PLC0415 - likewise
    from ingestor.schema_export import exported  # noqa: PLC0415 - likewise
    from ingestor.schema_views import key_columns  # noqa: PLC0415 - likewise

    config = load()
    columns = columns_of(_message(config.message_type))
    key = key_columns(columns, config.dedup_key)
    where = (config.gcp_project_id, config.bq_dataset_id, config.bq_table_id)
    if as_json:
        click.echo(json.dumps(exported(*where, columns, key), indent=1))
        return
    texts = statements(*where, columns, key)
    click.echo("\n\n".join(text.rstrip().rstrip(";") + ";" for text in texts.values()))


@schema.command("record")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def schema_record(file: Path) -> None:
    """Write what the table is like now to FILE, for `schema check --against FILE` where there is no BigQuery."""
    recorded = _with_tables(lambda tables, table_id, *_: tables.record(table_id))
    try:
        file.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}; name another FILE") from error


@schema.command("encoder")
@click.option("--message", help="Full name of the message; MESSAGE_TYPE by default. Needs no configuration.")
@click.option("--keys", help="A record's keys in their order, separated by commas: the code for such records alone.")
def schema_encoder(message: str | None, keys: str | None) -> None:
    """Print the generated code that turns the message's records into rows.

    Runs write it once more for each order of keys that comes often; --keys prints that.
    """
    from ingestor.encode_fast import source_of  # noqa: PLC0415 - likewise

    order = tuple(key.strip() for key in keys.split(",")) if keys else None
    click.echo(source_of(_message(message or load().message_type), order), nl=False)


def _message(name: str) -> "Descriptor":
    from ingestor.messages import descriptor_of, message_class  # noqa: PLC0415 - likewise

    return descriptor_of(message_class(name))


def _with_tables(use: Any) -> Any:  # noqa: ANN401 - what `use` takes and returns
    from ingestor.bootstrap import open_tables  # noqa: PLC0415 - likewise

    config = load()
    message = _message(config.message_type)
    with open_tables(config) as tables:
        return use(tables, config.bq_table_id, message, config.dedup_key)


def _live() -> tuple["Comparison", list[str]]:
    from ingestor.schema import check, warnings  # noqa: PLC0415 - likewise

    compared: tuple[Comparison, list[str]] = _with_tables(
        lambda tables, table_id, message, key: (check(tables, table_id, message, key), warnings(table_id, message))
    )
    return compared


def _recorded(file: Path, message_name: str | None) -> tuple["Comparison", list[str]]:
    from ingestor.schema import check_recorded, warnings  # noqa: PLC0415 - likewise

    table = _read(file)
    message = _message(message_name or load().message_type)
    return check_recorded(table, message), warnings(table.table_id, message)


def _read(file: Path) -> "Table":
    from ingestor.table_fields import table_of  # noqa: PLC0415 - likewise

    try:
        return table_of(json.loads(file.read_bytes()))
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{file} is no recorded table: {error}; write it by `schema record`") from error


def _as_json(comparison: "Comparison", warnings: list[str]) -> dict[str, Any]:
    shown = ("text", "blocking", "mendable", "ddl", "proto")
    return {
        "fits": not comparison.blocking,
        "verdict": comparison.verdict,
        "differences": [{name: getattr(each, name) for name in shown} for each in comparison.differences],
        "warnings": warnings,
    }


def _print(comparison: "Comparison", warnings: list[str]) -> None:
    for text in warnings:
        click.echo(f"warning: {text}", err=True)
    for each in comparison.differences:
        click.echo(each.text if each.blocking else f"note: {each.text}")
        for name, line in (("ddl", each.ddl), ("proto", each.proto)):
            if line:
                click.echo(f"    {name}: {line}")
    if not comparison.blocking:
        click.echo("fits")
