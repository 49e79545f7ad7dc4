"""The commands `ingestor runs …`: what ran."""

import json
from typing import Any

import click

from ingestor.cli_replay import as_json_option, printed, stamp, with_journal
from state.errors import Refused

COLUMNS = ("run_id", "lane", "status", "started", "records", "rows_committed", "rows_rejected", "batches", "error")


@click.group()
def runs() -> None:
    """What ran."""


@runs.command("list")
@click.option("--lane", help="Only of this lane.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json_option
def runs_list(*, lane: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    found = with_journal(lambda journal: journal.list_runs(limit=limit, lane=lane))
    items = [dict(document) for document in found]
    printed({"items": items}, COLUMNS, [_cells(each) for each in items], as_json=as_json)


@runs.command("show")
@click.argument("run_id")
@as_json_option
def runs_show(*, run_id: str, as_json: bool) -> None:
    """Show a run: what it was, how it ended, its balance, and the batches it attempted."""
    from ingestor.cli_batches import print_batches  # noqa: PLC0415 - only here
    from ingestor.runs import shown  # noqa: PLC0415 - likewise

    found = with_journal(lambda journal: shown(journal, run_id))
    if found is None:
        raise Refused(f"run {run_id} is not known; find it with `ingestor runs list`")
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found["run"].items():
        if value not in (None, "", [], {}):
            click.echo(f"{name:26} {stamp(value) if name.endswith('_at_us') else value}")
    click.echo()
    print_batches(found["batches"])
    if found["more_batches"]:
        click.echo(f"and more: the first {len(found['batches'])} are shown")


def _cells(document: dict[str, Any]) -> list[str]:
    batches = document.get("batches_committed")
    known = {**document, "started": stamp(document.get("started_at_us")), "batches": batches}
    return ["" if known.get(column) is None else str(known[column]) for column in COLUMNS]
