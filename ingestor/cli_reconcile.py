"""`ingestor reconcile`: the ledger's books against what BigQuery holds."""

import json
from typing import TYPE_CHECKING

import click

from ingestor.cli_replay import Since, as_json_option, stamp, with_journal
from ingestor.config import load
from ingestor.errors import DifferenceFound

if TYPE_CHECKING:
    from ingestor.reconcile import BatchBooks, Reconciliation

COLUMNS = ("batch_id", "lane", "status", "rows", "distinct", "missing", "doubled", "unexpected", "what is wrong")


@click.command("reconcile")
@click.option("--since", "since_us", type=Since(), help="Only batches of this ingest time and later: 2026-02-01, 6h.")
@click.option("--all", "with_all", is_flag=True, help="Name every batch, not only those with something to say.")
@as_json_option
def reconcile_command(*, since_us: int | None, with_all: bool, as_json: bool) -> None:
    """Compare ledger and table, batch by batch; exit 4 when rows are missing, too many, or nobody's.

    Doubles and rows of batches that are not committed are normal and invisible: they are counted, no difference.
    --since bounds the partitions that BigQuery reads.
    """
    from ingestor.logs import configure  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.terminal import log_stream  # noqa: PLC0415 - likewise
    from ingestor.views import reconciliation_json, reconciliation_of  # noqa: PLC0415 - likewise

    config = load()
    stream = log_stream(quiet=False, as_json=as_json)
    log = configure(config.service_label, config.pipeline_id, config.log_level, stream)
    found = with_journal(lambda journal: reconciliation_of(config, journal, log, since_us))
    if as_json:
        click.echo(json.dumps(reconciliation_json(found, with_all=with_all)))
    else:
        _print(found, with_all=with_all)
    if found.differences:
        raise DifferenceFound(_sentence(found))


def _print(found: "Reconciliation", *, with_all: bool) -> None:
    from ingestor.reconcile import worth_showing  # noqa: PLC0415 - likewise
    from ingestor.terminal import print_table  # noqa: PLC0415 - likewise

    shown = found.batches if with_all else worth_showing(found)
    if shown:
        print_table(COLUMNS, [_cells(each) for each in shown])
    totals = found.totals()
    counted = ", ".join(f"{count} {name}" for name, count in totals.items())
    click.echo(f"since {stamp(found.since_us)} UTC: {counted}")


def _cells(each: "BatchBooks") -> list[str]:
    numbers = (each.rows, each.table_distinct, each.missing, each.doubled, each.unexpected)
    return [each.batch_id, each.lane, each.status or "unknown", *map(str, numbers), "; ".join(each.problems)]


def _sentence(found: "Reconciliation") -> str:
    first = found.differences[0]
    more = f" and {len(found.differences) - 1} more" if len(found.differences) > 1 else ""
    return (
        f"ledger and table differ: batch {first.batch_id}: {'; '.join(first.problems)}{more}; "
        "see `ingestor why`, and docs/ledger-tools.md for what to do"
    )
