"""The commands `ingestor batches …`: list, show, failures, discard, reopen; `replay` is in `cli_replaying`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ingestor.cli_replay import acting, as_json_option, filter_options, printed, stamp, with_journal, with_replayer
from ingestor.cli_replaying import replay
from state.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.replay_views import Happened, ShownBatch
    from state.journal import Document, Journal

STATUSES = ("ATTEMPTED", "COMMITTED", "DEAD_LETTERED", "SUPERSEDED", "REPLAYING", "DISCARDED")

HISTORY_COLUMNS = ("at", "lane", "version", "event", "run", "what")


@click.group()
def batches() -> None:
    """Look at batches; replay, discard and reopen dead ones."""


batches.add_command(replay)


@batches.command("list")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only these.")
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json_option
def batches_list(*, limit: int, as_json: bool, **filters: Any) -> None:  # noqa: ANN401 - the filters, by name
    """List batches, newest first: dead ones by when they were set aside, the others by when they were attempted."""
    from ingestor.replay_views import BATCH_COLUMNS, batch_cells  # noqa: PLC0415 - Google's clients cost a second
    from state.journal import BatchQuery  # noqa: PLC0415 - likewise

    was_dead = filters["status"] in {"DEAD_LETTERED", "REPLAYING", "DISCARDED"}
    query = BatchQuery(**filters, by="dead_at_us" if was_dead else "attempted_at_us")
    found = with_journal(lambda journal: journal.list_batches(query, limit=limit))
    items = [dict(each) for each in found]
    printed({"items": items}, BATCH_COLUMNS, [batch_cells(each) for each in items], as_json=as_json)


@batches.command("show")
@click.argument("batch_id")
@click.option("--rows", type=click.IntRange(0, 40_000), default=0, help="Decode so many rows of a dead batch.")
@as_json_option
def batches_show(*, batch_id: str, rows: int, as_json: bool) -> None:
    """Show a batch: what the ledger says of it, its history, and with --rows what is in it."""
    from ingestor.replay_views import shown  # noqa: PLC0415 - likewise

    found = with_replayer(lambda each: shown(each.ports, _batch(each.journal, batch_id), rows), as_json=as_json)
    if as_json:
        click.echo(json.dumps(asdict(found), default=_as_text))
    else:
        _print_batch(found)


@batches.command("failures")
@filter_options
@as_json_option
def batches_failures(*, as_json: bool, **filters: Any) -> None:  # noqa: ANN401 - the filters, by name
    """Group dead batches by why they failed, the most frequent first."""
    from ingestor.replay_views import FAILURE_COLUMNS, failure_cells, failures  # noqa: PLC0415 - likewise
    from state.journal import BatchQuery  # noqa: PLC0415 - likewise

    query = BatchQuery(status="DEAD_LETTERED", by="dead_at_us", **filters)
    found = with_journal(lambda journal: failures(journal, query))
    items = [asdict(each) for each in found]
    printed({"items": items}, FAILURE_COLUMNS, [failure_cells(each) for each in found], as_json=as_json)


@batches.command("discard")
@click.argument("batch_id")
@click.option("--reason", required=True, help="Why its rows are not wanted.")
@acting
def batches_discard(*, batch_id: str, reason: str, actor: str) -> None:
    """Close a dead batch without sending it. `batches reopen` takes that back while its object exists."""
    with_replayer(lambda replayer: replayer.discard(batch_id, actor=actor, reason=reason))
    click.echo(f"{batch_id} is DISCARDED")


@batches.command("reopen")
@click.argument("batch_id")
@click.option("--reason", default="", help="Why.")
@acting
def batches_reopen(*, batch_id: str, reason: str, actor: str) -> None:
    """Take a discard back."""
    with_replayer(lambda replayer: replayer.reopen(batch_id, actor=actor, reason=reason))
    click.echo(f"{batch_id} is DEAD_LETTERED")


def print_batches(found: "Sequence[Document]") -> None:
    """Print a line for each batch."""
    from ingestor.replay_views import BATCH_COLUMNS, batch_cells  # noqa: PLC0415 - likewise
    from ingestor.terminal import print_table  # noqa: PLC0415 - likewise

    print_table(BATCH_COLUMNS, [batch_cells(each) for each in found])


def _batch(journal: "Journal", batch_id: str) -> "Document":
    found = journal.read_batch(batch_id)
    if found is None:
        raise Refused(f"batch {batch_id} is not known; find it with `ingestor batches list`")
    return found


def _print_batch(found: "ShownBatch") -> None:
    from ingestor.replay_views import table_of  # noqa: PLC0415 - likewise
    from ingestor.terminal import print_table  # noqa: PLC0415 - likewise

    for name, value in found.batch.items():
        if value not in (None, [], {}, ""):
            click.echo(f"{name:18} {stamp(value) if name.endswith('_at_us') else value}")
    for name, value in (found.stored or {}).items():
        click.echo(f"stored {name:11} {value}")
    if found.problem:
        click.echo(f"stored             {found.problem}")
    click.echo()
    print_table(HISTORY_COLUMNS, [history_cells(each) for each in found.history])
    if found.rows:
        click.echo()
        print_table(*table_of(found.rows))


def history_cells(each: "Happened") -> tuple[str, ...]:
    """Return an event of a batch's history as a line of `HISTORY_COLUMNS`."""
    details = ", ".join(f"{name}={value}" for name, value in each.details.items())
    return stamp(each.at_us), each.lane, str(each.version), each.event, each.run_id, details


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
