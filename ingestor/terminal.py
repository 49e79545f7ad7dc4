"""What a person at a terminal sees: a progress bar and tables. Scripts and Cloud Run see log lines instead.

`rich` draws both. It is loaded where it draws: a run that nobody watches starts without it.
"""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from ingestor import progress

Observe = Callable[[progress.Progress], None]


def log_stream(*, quiet: bool, as_json: bool) -> TextIO:
    """Return where log lines go: standard output, unless a person watches the bar there or asked for silence."""
    watched = sys.stdout.isatty() and not as_json
    return io.StringIO() if quiet or watched else sys.stdout


@contextmanager
def bar_when_useful(*, quiet: bool, as_json: bool) -> Iterator[Observe]:
    """Show on standard error how far a run is, if that is a terminal; yields what must be told of its progress."""
    if quiet or as_json or not sys.stderr.isatty():
        yield lambda _: None
    else:
        with _bar() as show:
            yield show


@contextmanager
def _bar() -> Iterator[Observe]:
    from rich import progress as bars  # noqa: PLC0415 - a twentieth of a run's start
    from rich.console import Console  # noqa: PLC0415 - likewise

    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("{task.completed:>10,} rows committed"),
        bars.TextColumn("{task.fields[batches]} batches, {task.fields[in_flight]} in flight"),
        bars.TextColumn("{task.fields[speed]:>8,.0f} rows/s"),  # `task.speed` itself is None at first
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("run", total=None, batches=0, in_flight=0, speed=0)

        def show(state: progress.Progress) -> None:
            counts, speed = state.counts, bar.tasks[task].speed or 0
            in_flight = len(state.at_stage(progress.Stage.SENT))
            done = counts.rows_committed
            bar.update(task, completed=done, batches=counts.batches_committed, in_flight=in_flight, speed=speed)

        yield show


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; as wide as it needs to be when it is not a terminal that reads it."""
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.table import Table  # noqa: PLC0415 - likewise

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 240
    Console(width=width).print(table)
