"""A run from the command line: log lines or a progress bar, signals, and what is printed at its end."""

import json
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ingestor.config import Config
from ingestor.errors import IngestorError
from ingestor.lean import tune_for_runs
from state.errors import LedgerError

if TYPE_CHECKING:
    from ingestor.ports import Range

STOP_GRACE_S = 4.0
"""After SIGTERM Cloud Run waits 10 s; this is what batches in flight get of it."""


def executed(  # noqa: PLR0913 - what a run is told
    config: Config,
    partition: int,
    *,
    takeover: bool,
    as_json: bool,
    quiet: bool,
    backfill: "Range | None" = None,
    lane: str | None = None,
) -> None:
    """Run to the end; raise what ended it."""
    from ingestor.bootstrap import RunBuilder, open_journal  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.ports import FOLLOWS  # noqa: PLC0415 - likewise
    from ingestor.summary import failed_summary  # noqa: PLC0415 - likewise
    from ingestor.terminal import bar_when_useful, log_stream  # noqa: PLC0415 - likewise

    log = _log(config, log_stream(quiet=quiet, as_json=as_json))
    journal = None
    try:
        journal = open_journal(config)
        with bar_when_useful(quiet=quiet, as_json=as_json) as show:
            builder = RunBuilder(config, journal, log, partition=partition, backfill=backfill or FOLLOWS, lane=lane)
            work = builder.build(takeover=takeover, observe=show)
            _stop_on_signals(work.stop)
            tune_for_runs()
            result = work.execute()
    except (IngestorError, LedgerError) as error:  # it could not begin; who reads the last line is told so there
        if as_json:
            click.echo(json.dumps(failed_summary(lane or str(partition), str(error))))
        raise
    finally:
        if journal is not None:
            journal.close()
    if as_json:
        click.echo(json.dumps(result.summary))
    elif not quiet:
        click.echo(_sentence(result.summary), err=True)
    if result.error is not None:
        raise result.error


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
