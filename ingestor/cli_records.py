"""The commands `ingestor records …`: rejected records looked at, repaired and replayed, discarded."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestor.cli_replay import FAILED, acting, as_json_option, printed, with_replayer

if TYPE_CHECKING:
    from ingestor.repair import OpenRecord, Repaired

_SHOWN = 100


@click.group()
def records() -> None:
    """Look at rejected records; replay repaired ones, discard others."""


@records.command("list")
@click.argument("batch_id")
@as_json_option
@click.option("--lines", is_flag=True, help="Print those still open as JSON lines, ready to be repaired in a file.")
def records_list(*, batch_id: str, as_json: bool, lines: bool) -> None:
    """List a batch's rejected records: where, why, and what became of each."""
    found = with_replayer(lambda replayer: replayer.records(batch_id), as_json=as_json or lines)
    if lines:
        from ingestor.rejected_records import rejected_lines  # noqa: PLC0415 - Google's clients cost a second

        still_open = tuple(each.record for each in found if each.state in {"open", "claimed"})
        click.echo(rejected_lines(still_open), nl=False)
        return
    columns = ("index", "state", "stage", "field", "reason", "record")
    printed({"items": [_json(each) for each in found]}, columns, [_cells(each) for each in found], as_json=as_json)


@records.command("replay")
@click.argument("batch_id")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Repaired JSON lines, as `records list --lines` prints them. Without: the open records as they are.",
)
@click.option("--dry-run", is_flag=True, help="Say which lines are rows now; send nothing.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@acting
@as_json_option
def records_replay(  # noqa: PLR0913 - one for each option
    *, batch_id: str, file: Path | None, dry_run: bool, reason: str, actor: str, as_json: bool
) -> int:
    """Send repaired records as the rows they should have been. Exit 3 when a line fails."""
    lines = file.read_bytes() if file is not None else None
    done = with_replayer(
        lambda replayer: replayer.replay_records(batch_id, lines, actor=actor, reason=reason, dry_run=dry_run),
        as_json=as_json,
    )
    if as_json:
        click.echo(json.dumps({**asdict(done), "ok": done.ok}))
    else:
        _print(done)
    return 0 if done.ok else FAILED


@records.command("discard")
@click.argument("batch_id")
@click.argument("indexes", nargs=-1, required=True, type=click.IntRange(0))
@click.option("--reason", required=True, help="Why they are not wanted.")
@acting
def records_discard(*, batch_id: str, indexes: tuple[int, ...], reason: str, actor: str) -> None:
    """Close rejected records without repairing them."""
    batch = with_replayer(lambda each: each.discard_records(batch_id, indexes, actor=actor, reason=reason))
    click.echo(f"{len(set(indexes))} discarded; {batch.get('open_records', 0)} of batch {batch_id} still open")


def _json(each: "OpenRecord") -> dict[str, Any]:
    record, rejection = each.record, each.record.rejection
    said = {"stage": rejection.stage, "reason": rejection.reason, "field": rejection.field}
    return {"row_index": record.index, "state": each.state, **said, "record": record.record}


def _cells(each: "OpenRecord") -> list[str]:
    from ingestor.decode import canonical_json  # noqa: PLC0415 - likewise

    rejection = each.record.rejection
    text = canonical_json(each.record.record).decode("utf-8", "replace")
    record = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return [
        str(each.record.index),
        each.state,
        rejection.stage,
        rejection.field or "",
        rejection.reason[:_SHOWN],
        record,
    ]


def _print(done: "Repaired") -> None:
    for line in done.lines:
        where = f"line {line.number}, " if line.number else ""
        index = f"record {line.index}" if line.index >= 0 else "no record"
        field = f" (field {line.field})" if line.field else ""
        why = f": {line.reason}{field}" if line.reason else ""
        click.echo(f"{where}{index}: {line.state}{why}", err=line.state == "failed")
    click.echo(f"{done.open_records} rejected records of batch {done.batch_id} still open")
