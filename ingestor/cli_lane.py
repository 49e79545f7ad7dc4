"""The commands that change a lane in a person's name: `pause`, `resume`, `checkpoint set`, `ledger recover`."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ingestor.cli_replay import acting, as_json_option
from ingestor.config import Config, load

if TYPE_CHECKING:
    from ingestor.lane_control import Controlled
    from ingestor.recover import RecoverPorts

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


def lane_option(command: Command) -> Command:
    """Add the option that names the lane."""
    return click.option("--lane", help="Which lane.  [default: every partition's]")(command)


@click.command("pause")
@click.option("--reason", required=True, help="Why; runs answer with it.")
@lane_option
@acting
@as_json_option
def pause(*, reason: str, lane: str | None, actor: str, as_json: bool) -> None:
    """Let runs answer skipped until `resume`. A run at work stops at its next ledger write; what it has in flight
    stays in doubt and is settled by the next run.
    """
    config = load()
    _each(config, _lanes(config, lane), lambda p, name: p.control.pause(name, actor=actor, reason=reason), as_json)


@click.command("resume")
@lane_option
@acting
@as_json_option
def resume(*, lane: str | None, actor: str, as_json: bool) -> None:
    """Let runs of a paused lane read again."""
    config = load()
    _each(config, _lanes(config, lane), lambda p, name: p.control.resume(name, actor=actor), as_json)


@click.group()
def checkpoint() -> None:
    """Where a lane reads on."""


@checkpoint.command("set")
@click.option("--to", required=True, help="Cursor of the page to read next.")
@click.option("--reason", required=True, help="Why what lies in between is skipped.")
@click.option("--never-passed", is_flag=True, help="Vouch that the lane was never there (opaque cursors).")
@click.option("--lane", help="Which lane.  [default: the only partition's]")
@acting
@as_json_option
def checkpoint_set(  # noqa: PLR0913 - its options
    *, to: str, reason: str, never_passed: bool, lane: str | None, actor: str, as_json: bool
) -> None:
    """Skip what lies between the checkpoint and a cursor ahead of it, on purpose and for good.

    Records in between are not read, batches in doubt are superseded. To read something again there are backfills.
    """
    config = load()
    lanes = _lanes(config, lane)
    if len(lanes) > 1:
        raise click.UsageError(f"there are {len(lanes)} partitions: name one with --lane")
    told = {"to": to, "actor": actor, "reason": reason}
    _each(config, lanes, lambda p, name: p.control.set_checkpoint(name, never_passed=never_passed, **told), as_json)


@click.command("recover")
@click.option("--reason", default="its journal has aged out", show_default=True, help="Why.")
@click.option("--lane", help="Which lane.  [default: every lane that needs it]")
@acting
@as_json_option
def ledger_recover(*, reason: str, lane: str | None, actor: str, as_json: bool) -> None:
    """Let a lane go on whose last run never finished and whose journal has aged out since.

    What that run may have committed is hidden, and its records are read again from the lane's last snapshot.
    """
    from ingestor.recover import recover  # noqa: PLC0415 - BigQuery's clients cost a second
    from state.events import OPS_LANE  # noqa: PLC0415 - likewise

    def work(ports: "RecoverPorts") -> list[dict[str, Any]]:
        lanes = [name for name in ports.journal.read_lanes() if name != OPS_LANE and lane in {None, name}]
        if lane is not None and not lanes:
            raise click.UsageError(f"there is no lane {lane}; `ingestor status` names them")
        found = [recover(ports, name, actor=actor, reason=reason) for name in lanes]
        return [
            {
                "lane": each.lane,
                "version": each.version,
                "batches_superseded": each.superseded,
                "batches_discarded": each.discarded,
                "unpublished": each.unpublished,
            }
            for each in found
            if each.version
        ]

    items = _with_ports(load(), work)
    if as_json:
        click.echo(json.dumps({"items": items}))
        return
    for item in items:
        done = f"{item['batches_superseded']} batches superseded, {item['batches_discarded']} discarded"
        click.echo(f"lane {item['lane']} goes on: {done}; the next run reads their records again")
        _tell_unpublished(item["unpublished"])
    if not items:
        click.echo("nothing to recover: every lane's journal is whole")


def _lanes(config: Config, lane: str | None) -> Sequence[str]:
    return [lane] if lane is not None else [str(number) for number in range(config.source_partitions)]


def _each(
    config: Config,
    lanes: Sequence[str],
    change: "Callable[[RecoverPorts, str], Controlled]",
    as_json: bool,  # noqa: FBT001 - passed through
) -> None:
    done = _with_ports(config, lambda ports: [change(ports, lane) for lane in lanes])
    if as_json:
        items = [
            {
                "lane": each.lane,
                "changed": each.is_changed,
                "version": each.state.version,
                "paused": each.state.paused,
                "text": each.text,
                "unpublished": each.unpublished,
            }
            for each in done
        ]
        click.echo(json.dumps({"items": items}))
        return
    for each in done:
        click.echo(each.text)
        _tell_unpublished(each.unpublished)


def _tell_unpublished(why: str) -> None:
    if why:
        click.echo(f"the view does not know of it yet, the next run publishes it: {why}", err=True)


def _with_ports(config: Config, use: "Callable[[RecoverPorts], Result]") -> "Result":
    from ingestor.bootstrap import open_journal  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.control_wiring import open_control  # noqa: PLC0415 - likewise
    from ingestor.logs import configure  # noqa: PLC0415 - likewise
    from ingestor.terminal import log_stream  # noqa: PLC0415 - likewise

    journal = open_journal(config)
    stream = log_stream(quiet=True, as_json=False)
    log = configure(config.service_label, config.pipeline_id, config.log_level, stream)
    try:
        with open_control(config, journal, log) as ports:
            return use(ports)
    finally:
        journal.close()
