"""The command `ingestor`: one line an error, the contract's exit codes, tables for people and JSON for scripts."""

import json
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from ingestor.cli_batches import batches
from ingestor.cli_check import check_command
from ingestor.cli_lane import checkpoint, ledger_recover, pause, resume
from ingestor.cli_ledger import ledger
from ingestor.cli_reconcile import reconcile_command
from ingestor.cli_records import records
from ingestor.cli_runs import runs
from ingestor.cli_schema import schema
from ingestor.cli_serve import ops, serve
from ingestor.cli_source import source
from ingestor.cli_status import status_command
from ingestor.cli_why import why_command
from ingestor.config import Config, load
from ingestor.errors import ConfigurationError, IngestorError
from ingestor.lean import calm_collector
from state.errors import LedgerError

USAGE, INTERRUPTED = 64, 130
STOP_GRACE_S = 4.0
"""After SIGTERM Cloud Run waits 10 s; this is what batches in flight get of it."""


def main() -> None:
    """Run the command and end the process with the contract's exit code."""
    sys.exit(_exit_code(lambda: cli.main(standalone_mode=False)))


def _exit_code(command: Callable[[], object]) -> int:
    try:
        result = command()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        click.echo(f"{error.format_message()} (see `ingestor --help`)", err=True)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (IngestorError, LedgerError) as error:
        if _debugging():
            traceback.print_exc()
        click.echo(f"ingestor: {error}", err=True)
        return error.EXIT_CODE if isinstance(error, IngestorError) else IngestorError.EXIT_CODE
    return result if isinstance(result, int) else 0


def _debugging() -> bool:
    try:
        return load().log_level == "DEBUG"
    except ConfigurationError:
        return False


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bigquery-batch-ingestor")
def cli() -> None:
    """Ingest an HTTP API into BigQuery through the Storage Write API, every record accounted for."""


@cli.command()
@click.option("--partition", type=click.IntRange(0), default=None, help="Partition of the source; its lane's name.")
@click.option("--takeover", is_flag=True, help="Treat a live run as dead. Safe: the other one stops by itself.")
@click.option("--json", "as_json", is_flag=True, help="Print the run summary as the last line.")
@click.option("--quiet", is_flag=True, help="No log lines, no progress bar.")
def run(*, partition: int | None, takeover: bool, as_json: bool, quiet: bool) -> None:
    """Run once: from the checkpoint to the source's end."""
    from ingestor.bootstrap import RunBuilder, open_journal  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.terminal import Progress, log_stream  # noqa: PLC0415 - likewise

    config = load()
    chosen = _partition(config, partition)
    log = _log(config, log_stream(quiet=quiet, as_json=as_json))
    journal = open_journal(config)
    try:
        with Progress.when_useful(quiet=quiet, as_json=as_json) as bar:
            work = RunBuilder(config, journal, log, partition=chosen).build(takeover=takeover, observe=bar.show)
            _stop_on_signals(work.stop)
            calm_collector()
            result = work.execute()
    finally:
        journal.close()
    if as_json:
        click.echo(json.dumps(result.summary))
    elif not quiet:
        click.echo(_sentence(result.summary), err=True)
    if result.error is not None:
        raise result.error


def _partition(config: Config, asked: int | None) -> int:
    chosen = asked if asked is not None else config.cloud_run_task_index or 0
    if chosen >= config.source_partitions:
        raise click.UsageError(f"partition {chosen} of {config.source_partitions}: they are numbered from 0")
    return chosen


def _log(config: Config, stream: Any = None) -> Any:  # noqa: ANN401 - `ingestor.logs.Log`, which is loaded late
    from ingestor.logs import configure  # noqa: PLC0415 - likewise

    return configure(config.service_label, config.pipeline_id, config.log_level, stream)


def _stop_on_signals(stop: Callable[[str, float], None]) -> None:
    def ask(number: int, _: FrameType | None) -> None:
        stop(signal.Signals(number).name, STOP_GRACE_S)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def _sentence(summary: dict[str, Any]) -> str:
    kept = f"{summary['rows_committed']} rows committed, {summary['rows_rejected']} rejected"
    return f"{summary['status']}: {summary['records']} records, {kept}, in {summary['duration_s']} s"


cli.add_command(schema)
cli.add_command(source)
cli.add_command(batches)
cli.add_command(records)
cli.add_command(status_command)
cli.add_command(check_command)
cli.add_command(serve)
cli.add_command(ops)
cli.add_command(runs)
cli.add_command(reconcile_command)
cli.add_command(why_command)
cli.add_command(ledger)
ledger.add_command(ledger_recover)
cli.add_command(pause)
cli.add_command(resume)
cli.add_command(checkpoint)
