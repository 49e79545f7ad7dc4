"""The command `ingestor batches replay`: planned, one by one, or in bulk under a receipt."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from ingestor.cli_replay import (
    FAILED,
    acting,
    as_json_option,
    filter_options,
    is_watched,
    printed,
    stamp,
    with_replayer,
)

if TYPE_CHECKING:
    from ingestor.plan_replay import BatchPlan, ReplayPlan
    from ingestor.replay import ReceiptReport, Replayed, Replayer, Selection
    from ingestor.replay_bulk import OnProgress


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked for on the command line."""

    batch_ids: tuple[str, ...]
    everything: bool
    receipt: str | None
    stop: bool
    dry_run: bool
    force: bool
    max_per_s: float | None
    limit: int | None
    reason: str
    actor: str
    as_json: bool
    status: str | None
    since_us: int | None
    lane: str | None
    fingerprint: str | None


@click.command("replay")
@click.argument("batch_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead batches that the filters leave, under a receipt.")
@click.option("--status", type=click.Choice(("DEAD_LETTERED", "REPLAYING"), case_sensitive=False), help="With --all.")
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), help="With --all: at most so many, the oldest first.")
@click.option("--receipt", help="Go on with this bulk replay.")
@click.option("--stop", is_flag=True, help="With --receipt: stop it instead.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--force", is_flag=True, help="Replay even what people replayed three times; wants --reason.")
@click.option("--max-per-s", type=click.FloatRange(0, min_open=True), help="Bulk: replays a second.  [default: 2]")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@acting
@as_json_option
def replay(**options: Any) -> int:  # noqa: ANN401 - `_Call` has their types
    """Send dead batches again: those named, --all, or what a --receipt has left. Exit 3 when not all rows are in."""
    call = _Call(**options)
    _check(call)
    if call.dry_run:
        return with_replayer(lambda replayer: _plan(replayer, call), as_json=call.as_json)
    if call.batch_ids:
        return with_replayer(lambda replayer: _each(replayer, call), as_json=call.as_json)
    return with_replayer(lambda replayer: _bulk(replayer, call), as_json=call.as_json)


def _check(call: _Call) -> None:
    if sum((bool(call.batch_ids), call.everything, bool(call.receipt))) != 1:
        raise click.UsageError("name batches, or say --all, or --receipt ID: one of the three")
    if call.stop and not call.receipt:
        raise click.UsageError("--stop goes with --receipt")
    if call.dry_run and call.receipt:
        raise click.UsageError("--dry-run goes with batches or --all")
    filters = (call.status, call.since_us, call.lane, call.fingerprint, call.limit)
    if not call.everything and any(each is not None for each in filters):
        raise click.UsageError("--status, --since, --lane, --fingerprint and --limit go with --all")
    if call.force and not call.reason:
        raise click.UsageError("--force wants --reason")


def _selection(call: _Call) -> "Selection":
    from ingestor.replay import Selection  # noqa: PLC0415 - Google's clients cost a second

    return Selection(
        status=call.status or "DEAD_LETTERED",
        since_us=call.since_us,
        lane=call.lane,
        fingerprint=call.fingerprint,
        limit=call.limit,
    )


def _each(replayer: "Replayer", call: _Call) -> int:
    from ingestor.replay import Replayed  # noqa: PLC0415 - likewise
    from state.errors import Refused  # noqa: PLC0415 - likewise

    done = list[Replayed]()
    for batch_id in dict.fromkeys(call.batch_ids):
        try:
            replayed = replayer.replay(batch_id, actor=call.actor, reason=call.reason, forced=call.force)
        except Refused as refused:
            status = str((replayer.journal.read_batch(batch_id) or {}).get("status", ""))
            replayed = Replayed(batch_id, status, code="REFUSED", error=str(refused))
        done.append(replayed)
        if not call.as_json:
            click.echo(_line(replayed), err=not replayed.ok or replayed.rejected > 0)
    if call.as_json:
        click.echo(json.dumps({"items": [_replayed_json(each) for each in done]}))
    return 0 if all(each.ok and not each.rejected for each in done) else FAILED


def _line(replayed: "Replayed") -> str:
    if replayed.already:
        return f"{replayed.batch_id} was committed by a replay before; nothing was sent"
    if replayed.ok and replayed.rejected:
        look = f"{replayed.rejected} refused, see `ingestor records list {replayed.batch_id}`"
        return f"{replayed.batch_id} is COMMITTED: {replayed.rows} rows, {look}"
    if replayed.ok:
        return f"{replayed.batch_id} is COMMITTED: {replayed.rows} rows"
    return f"{replayed.batch_id} is {replayed.status}: {replayed.error}" if replayed.status else replayed.error


def _replayed_json(replayed: "Replayed") -> dict[str, Any]:
    action = replayed.action.value if replayed.action else None
    return {**asdict(replayed), "action": action, "ok": replayed.ok}


def _plan(replayer: "Replayer", call: _Call) -> int:
    selection = _selection(call) if call.everything else None
    plan = replayer.plan(call.batch_ids, selection, actor=call.actor)
    if call.as_json:
        click.echo(json.dumps(_plan_json(plan)))
        return 0
    columns = ("batch_id", "status", "rows", "bytes", "present", "set aside", "what would happen")
    printed({}, columns, [_plan_cells(each) for each in plan.batches], as_json=False)
    click.echo()
    sent = f"{len(plan.sendable)} of {len(plan.batches)} batches would be sent: {plan.rows} rows"
    click.echo(f"{sent}, {plan.size_bytes} bytes, about ${plan.cost_usd:.6f}; {plan.present} rows are there already")
    click.echo(f"{len(plan.refused)} would be refused by today's table; oldest {stamp(plan.oldest_us) or 'none'}")
    for fingerprint, count in plan.fingerprints.items():
        click.echo(f"{count} with fingerprint {fingerprint}")
    return 0


def _plan_cells(plan: "BatchPlan") -> list[str]:
    if plan.problem:
        verdict = f"not sent: {plan.problem}"
    elif plan.refused_by:
        verdict = f"refused: {'; '.join(plan.refused_by)}"
    else:
        verdict = f"sent, some rows set aside: {'; '.join(plan.rejects)}" if plan.rejects else "sent"
    numbers = (plan.rows, plan.size_bytes, plan.present)
    return [plan.batch_id, plan.status, *map(str, numbers), stamp(plan.dead_at_us or None), verdict]


def _plan_json(plan: "ReplayPlan") -> dict[str, Any]:
    return {
        "batches": len(plan.batches),
        "sendable": len(plan.sendable),
        "rows": plan.rows,
        "bytes": plan.size_bytes,
        "present": plan.present,
        "refused": len(plan.refused),
        "oldest_us": plan.oldest_us,
        "fingerprints": plan.fingerprints,
        "cost_usd": plan.cost_usd,
        "items": [asdict(each) for each in plan.batches],
    }


def _bulk(replayer: "Replayer", call: _Call) -> int:
    from ingestor.replay_bulk import MAX_PER_S  # noqa: PLC0415 - likewise

    receipt = call.receipt or replayer.replay_all(_selection(call), actor=call.actor, reason=call.reason)
    if not receipt:
        click.echo(json.dumps({"receipt": None, "items": []}) if call.as_json else "no batch fits: nothing to replay")
        return 0
    if call.stop:
        _print_report(replayer.stop_receipt(receipt, actor=call.actor), call)
        return 0
    click.echo(f"receipt {receipt}: `ingestor batches replay --receipt {receipt}` goes on with it", err=True)
    rejected = 0

    def told(done: int, total: int, replayed: "Replayed") -> None:
        nonlocal rejected
        rejected += replayed.rejected
        show(done, total, replayed)

    with _bar(shown=is_watched(as_json=call.as_json)) as show:
        report = replayer.continue_receipt(
            receipt,
            actor=call.actor,
            reason=call.reason,
            forced=call.force,
            max_per_s=call.max_per_s or MAX_PER_S,
            on_progress=told,
        )
    _print_report(report, call)
    return 0 if report.ok and not rejected else FAILED


def _print_report(report: "ReceiptReport", call: _Call) -> None:
    items: Sequence[Any] = report.items
    rows = [(each.batch_id, each.outcome, each.status, each.answer[:120]) for each in items]
    printed(asdict(report), ("batch_id", "outcome", "status", "last answer"), rows, as_json=call.as_json)
    if not call.as_json:
        told = ", ".join(f"{count} {name}" for name, count in report.counts.items() if count)
        click.echo(f"receipt {report.receipt} is {report.status}: {told}")


@contextmanager
def _bar(*, shown: bool) -> "Iterator[OnProgress]":
    """A progress bar on standard error, or nothing."""
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("replays"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"))
    failed = 0
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("replays", total=None, failed=0)

        def show(done: int, total: int, replayed: "Replayed") -> None:
            nonlocal failed
            failed += not replayed.ok
            bar.update(task, completed=done, total=total, failed=failed)

        yield show
