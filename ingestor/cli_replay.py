"""What the commands `batches` and `records` have in common: options, times, who acts, and how results are printed."""

import functools
import getpass
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ingestor.ago import microseconds
from ingestor.config import load

if TYPE_CHECKING:
    from ingestor.replay import Replayer
    from state.journal import Journal

FAILED = 3
"""Exit code of a replay that failed in part."""
Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])


class Since(click.ParamType[int]):
    """A time: ISO 8601 (UTC unless it says otherwise), or how long ago, such as 90m, 6h, 2d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - as click has it
        """Return microseconds since 1970."""
        if isinstance(value, int):
            return value
        try:
            return microseconds(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def filter_options(command: Command) -> Command:
    """Add the options that choose batches."""
    options = (
        click.option("--since", "since_us", type=Since(), help="Set aside (or attempted) since then: 2026-02-01, 6h."),
        click.option("--lane", help="Only of this lane."),
        click.option("--fingerprint", help="Only those that failed alike (`batches failures` names them)."),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def acting(command: Command) -> Command:
    """Add the option that says who acts; the user of the operating system by default."""
    return click.option("--actor", default=_user, help="Who does this.  [default: the user of this machine]")(command)


def as_json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON as the last line.")(command)


def with_journal(use: "Callable[[Journal], Result]") -> Result:
    """Call with the pipeline's journal, for commands that only read the ledger."""
    from ingestor.bootstrap import open_journal  # noqa: PLC0415 - Google's clients cost a second

    journal = open_journal(load())
    try:
        return use(journal)
    finally:
        journal.close()


def with_replayer(use: "Callable[[Replayer], Result]", *, as_json: bool = False) -> Result:
    """Call with a replayer that logs as a run does."""
    from ingestor.logs import configure  # noqa: PLC0415 - likewise
    from ingestor.replay_wiring import open_replayer  # noqa: PLC0415 - likewise
    from ingestor.terminal import log_stream  # noqa: PLC0415 - likewise

    config = load()
    log = configure(
        config.service_label, config.pipeline_id, config.log_level, log_stream(quiet=False, as_json=as_json)
    )
    with open_replayer(config, log=log.bind(lane="ops")) as replayer:
        return use(replayer)


def printed(
    document: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[str]], *, as_json: bool
) -> None:
    """Print a document as JSON, or its rows as a table."""
    if as_json:
        click.echo(json.dumps(document))
        return
    from ingestor.terminal import print_table  # noqa: PLC0415 - likewise

    print_table(columns, list(rows))


def is_watched(*, as_json: bool) -> bool:
    """Whether a person sees standard error, so that a progress bar is of use."""
    return sys.stderr.isatty() and not as_json


def stamp(at_us: int | None) -> str:
    """Return a time for people, UTC to the second; empty for none."""
    return "" if at_us is None else f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
