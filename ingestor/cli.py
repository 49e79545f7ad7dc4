"""The command `ingestor`: one line an error, the contract's exit codes, tables for people and JSON for scripts."""

import sys
import traceback
from collections.abc import Callable

import click

from ingestor.cli_backfill import backfill_command
from ingestor.cli_batches import batches
from ingestor.cli_check import check_command
from ingestor.cli_lane import checkpoint, ledger_recover, pause, resume
from ingestor.cli_ledger import ledger
from ingestor.cli_reconcile import reconcile_command
from ingestor.cli_records import records
from ingestor.cli_running import executed
from ingestor.cli_runs import runs
from ingestor.cli_schema import schema
from ingestor.cli_serve import ops, serve
from ingestor.cli_source import source
from ingestor.cli_status import status_command
from ingestor.cli_why import why_command
from ingestor.config import Config, load
from ingestor.errors import ConfigurationError, IngestorError
from state.errors import LedgerError

USAGE, INTERRUPTED = 64, 130


def main() -> None:
    """Run the command and end the process with the contract's exit code."""
    sys.exit(exit_code(lambda: cli.main(standalone_mode=False)))


def exit_code(command: Callable[[], object]) -> int:
    """Call, print what went wrong in a line, and return the contract's exit code."""
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
    config = load()
    executed(config, _partition(config, partition), takeover=takeover, as_json=as_json, quiet=quiet)


def _partition(config: Config, asked: int | None) -> int:
    chosen = asked if asked is not None else config.cloud_run_task_index or 0
    if chosen >= config.source_partitions:
        raise click.UsageError(f"partition {chosen} of {config.source_partitions}: they are numbered from 0")
    return chosen


cli.add_command(schema)
cli.add_command(source)
cli.add_command(batches)
cli.add_command(records)
cli.add_command(status_command)
cli.add_command(check_command)
cli.add_command(serve)
cli.add_command(ops)
cli.add_command(runs)
cli.add_command(backfill_command)
cli.add_command(reconcile_command)
cli.add_command(why_command)
cli.add_command(ledger)
ledger.add_command(ledger_recover)
cli.add_command(pause)
cli.add_command(resume)
cli.add_command(checkpoint)
