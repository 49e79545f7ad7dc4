"""`ingestor backfill`: a chosen range of the source on a lane of its own."""

import re

import click

from ingestor.cli_running import executed
from ingestor.config import load

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@click.command("backfill")
@click.option("--from", "start", required=True, help="Cursor of the page to begin with.")
@click.option("--to", required=True, help="Cursor at which it ends; what is there is not read.")
@click.option("--lane", required=True, help="Name of the lane: lower-case letters, digits, - and _.")
@click.option("--partition", type=click.IntRange(0), default=0, help="Partition of the source.  [default: 0]")
@click.option("--takeover", is_flag=True, help="Treat a live run of the same name as dead.")
@click.option("--json", "as_json", is_flag=True, help="Print the run summary as the last line.")
@click.option("--quiet", is_flag=True, help="No log lines, no progress bar.")
def backfill_command(  # noqa: PLR0913 - its options
    *, start: str, to: str, lane: str, partition: int, takeover: bool, as_json: bool, quiet: bool
) -> None:
    """Read a range of the source, beside the runs that follow it, with the same proof of balance.

    The same command again goes on where the last one ended; the same name with another range is refused. Offsets and
    marks are compared with --to, other cursors must be equal to it. What other lanes read too is in the dedup view
    twice: see docs/partitions-and-backfill.md.
    """
    from ingestor.ports import Range  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.ranged import check_range  # noqa: PLC0415 - likewise
    from ingestor.source_wiring import paging_of  # noqa: PLC0415 - likewise

    config = load()
    if not _NAME.fullmatch(lane) or lane == "ops":
        raise click.UsageError(f"{lane!r} can't name a lane: begin with a letter; ops is the operators'")
    if partition >= config.source_partitions:
        raise click.UsageError(f"partition {partition} of {config.source_partitions}: they are numbered from 0")
    check_range(paging_of(config, partition), start, to)
    chosen = Range(start, to, partition)
    executed(config, partition, takeover=takeover, as_json=as_json, quiet=quiet, backfill=chosen, lane=lane)
