"""What a person at a terminal sees: a progress bar and tables. Scripts and Cloud Run see log lines instead."""

import io
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from rich import progress as bars
from rich.console import Console
from rich.table import Table

from ingestor import progress


def log_stream(*, quiet: bool, as_json: bool) -> TextIO:
    """Return where log lines go: standard output, unless a person watches the bar there or asked for silence."""
    watched = sys.stdout.isatty() and not as_json
    return io.StringIO() if quiet or watched else sys.stdout


class Progress:
    """A bar on standard error, or nothing at all."""

    def __init__(self, *, shown: bool) -> None:
        columns = (
            bars.SpinnerColumn(),
            bars.TextColumn("{task.completed:>10,} rows committed"),
            bars.TextColumn("{task.fields[batches]} batches, {task.fields[in_flight]} in flight"),
            bars.TextColumn("{task.speed:>8,.0f} rows/s" if shown else ""),
            bars.TimeElapsedColumn(),
        )
        self._bar = bars.Progress(*columns, console=Console(stderr=True), transient=False, disable=not shown)
        self._task = self._bar.add_task("run", total=None, batches=0, in_flight=0, speed=0)

    @classmethod
    def when_useful(cls, *, quiet: bool, as_json: bool) -> Self:
        """Return a bar that shows itself only on a terminal."""
        return cls(shown=sys.stderr.isatty() and not quiet and not as_json)

    def show(self, state: progress.Progress) -> None:
        """Show how far the run is."""
        if not self._bar.disable:
            in_flight = len(state.at_stage(progress.Stage.SENT))
            counts = state.counts
            self._bar.update(
                self._task, completed=counts.rows_committed, batches=counts.batches_committed, in_flight=in_flight
            )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; as wide as it needs to be when it is not a terminal that reads it."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 240
    Console(width=width).print(table)
