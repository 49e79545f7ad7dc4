"""`ingestor check`: would a run work here?"""

import json

import click

from ingestor.cli_replay import as_json_option
from ingestor.config import load
from ingestor.errors import ConfigurationError, DifferenceFound, IngestorError

_ERRORS = (ConfigurationError, IngestorError, DifferenceFound)


@click.command("check")
@click.option("--partition", type=click.IntRange(0), default=0, help="Whose page is read.  [default: 0]")
@as_json_option
def check_command(*, partition: int, as_json: bool) -> None:
    """Ask ledger, table, bucket and source for what a run needs, and encode one page; write nothing.

    Exit 2: configuration or schema refuse. 3: something cannot be reached. 4: records of the page would be rejected.
    """
    from ingestor.bootstrap_check import check_of  # noqa: PLC0415 - Google's clients cost a second

    config = load()
    if partition >= config.source_partitions:
        raise click.UsageError(f"partition {partition} of {config.source_partitions}: they are numbered from 0")
    found = check_of(config, partition)
    if as_json:
        items = [{"what": each.what, "ok": not each.exit_code, "text": each.text} for each in found]
        click.echo(json.dumps({"ok": not any(each.exit_code for each in found), "findings": items}))
    else:
        for each in found:
            click.echo(f"{'ok    ' if not each.exit_code else 'FAILED'} {each.what:8} {each.text}")
    for error in _ERRORS:  # what refuses comes before what cannot be reached, that before what differs
        texts = [f"{each.what}: {each.text}" for each in found if each.exit_code == error.EXIT_CODE]
        if texts:
            raise error("; ".join(texts))
