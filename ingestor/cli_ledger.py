"""The commands `ingestor ledger …`: prove the ledger, and mend what follows from its journals."""

import json
import time
from typing import TYPE_CHECKING

import click

from ingestor.cli_replay import as_json_option, with_journal
from ingestor.config import Config, load
from ingestor.errors import DifferenceFound

if TYPE_CHECKING:
    from state.journal import Journal

_DAY_US = 86_400 * 1_000_000


@click.group()
def ledger() -> None:
    """Prove and mend the ledger."""


@ledger.command("verify")
@as_json_option
def ledger_verify(*, as_json: bool) -> None:
    """Check chains, versions, folds, snapshots and index of every lane, and that every dead letter's object is in the
    bucket; exit 4 when something is wrong.
    """
    config = load()
    lanes, differences = with_journal(lambda journal: (journal.read_lanes(), _differences(config, journal)))
    if as_json:
        click.echo(json.dumps({"lanes": list(lanes), "differences": differences}))
    elif not differences:
        click.echo(f"{len(lanes)} lane(s): whole")
    if differences:
        raise DifferenceFound("\n".join(differences))


@ledger.command("rebuild")
@as_json_option
def ledger_rebuild(*, as_json: bool) -> None:
    """Make the index (batches, runs, receipts) say what the journals say, beside runs at work; then verify it.

    Row digests, and what the journals no longer tell, are kept. Exit 4 when something wrong is left.
    """
    from state.rebuild import rebuild  # noqa: PLC0415 - only here

    config = load()

    def mend(journal: "Journal") -> tuple[list[str], list[str]]:
        mended = rebuild(journal, config.pipeline_id, retention_days=config.ledger_retention_days)
        return mended, _differences(config, journal)

    mended, left = with_journal(mend)
    if as_json:
        click.echo(json.dumps({"mended": mended, "differences": left}))
    else:
        for line in mended:
            click.echo(f"mended {line}")
        click.echo(f"{len(mended)} document(s) mended")
    if left:
        raise DifferenceFound("\n".join(left))


def _differences(config: Config, journal: "Journal") -> list[str]:
    """Return what is wrong with the ledger, and with the bucket as far as the ledger names its objects."""
    from ingestor.bucket import Bucket, storage_client  # noqa: PLC0415 - Google's clients cost a second
    from ingestor.verify_objects import verify_objects  # noqa: PLC0415 - likewise
    from state.verify import verify_pipeline  # noqa: PLC0415 - likewise

    lines = verify_pipeline(journal, config.pipeline_id, retention_days=config.ledger_retention_days)
    client = storage_client(config.gcp_project_id, config.storage_emulator_host)
    try:
        since_us = time.time_ns() // 1000 - config.ledger_retention_days * _DAY_US
        return lines + verify_objects(journal, Bucket(client, config.dead_letter_bucket).exists, since_us=since_us)
    finally:
        client.close()
