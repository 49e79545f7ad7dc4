"""`ingestor why`: one row's story."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ingestor.cli_replay import as_json_option, stamp, with_journal
from ingestor.config import load

if TYPE_CHECKING:
    from ingestor.why import Why


@click.command("why")
@click.argument("batch_id")
@click.argument("row_index", type=int)
@as_json_option
def why_command(*, batch_id: str, row_index: int, as_json: bool) -> None:
    """Tell where a row came from: page, run, attempts, answers, and why the dedup view shows it or not.

    BATCH_ID and ROW_INDEX are the columns `_ingest_batch_id` and `_ingest_row_index`.
    """
    from ingestor.views import why_of  # noqa: PLC0415 - Google's clients cost a second

    config = load()
    found = with_journal(lambda journal: why_of(config, journal, batch_id, row_index))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        _print(found)


def _print(found: "Why") -> None:
    from ingestor.cli_batches import HISTORY_COLUMNS, history_cells  # noqa: PLC0415 - only here
    from ingestor.terminal import print_table  # noqa: PLC0415 - likewise

    click.echo(found.verdict)
    batch, source, runs = found.batch, found.source, found.runs
    if batch:
        click.echo(
            f"batch      {found.batch_id} of lane {batch['lane']}, {batch['status']}, attempts {batch['attempts']}"
        )
        click.echo(f"ingested   {stamp(batch['ingest_time_us'])} UTC")
        click.echo(f"source     {_place(found)}")
        click.echo(f"batch of   {_position(source['start'])} to {_position(source['end'])}")
        click.echo(f"run        attempted by {runs['attempted']}, settled by {runs['settled'] or 'none yet'}")
    record = ", ".join(f"{name} {value}" for name, value in found.record.items() if name != "kind" and value)
    click.echo(f"record     {found.record['kind']}{': ' if record else ''}{record}")
    click.echo(f"digest     {found.row_digest or 'none'}")
    said = "; ".join(f"{s['status']} (lane {s['lane']}, version {s['version']})" for s in found.statements)
    click.echo(f"table      {found.table_rows} row(s); the ledger table says {said or 'nothing'}")
    if found.history:
        click.echo()
        print_table(HISTORY_COLUMNS, [history_cells(each) for each in found.history])


def _place(found: "Why") -> str:
    if found.source["record"] is None:
        return "a page between the batch's first and its last"
    return f"page {found.source['page_cursor'] or '(the first)'}, record {found.source['record']} of it"


def _position(position: "dict[str, object]") -> str:
    return f"{position['cursor'] or '(the first page)'} + {position['taken']}"
