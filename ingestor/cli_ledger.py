"""The commands `ingestor ledger …`: prove the ledger, and mend what follows from its journals."""

import json

import click

from ingestor.cli_replay import as_json_option
from ingestor.config import load
from ingestor.errors import DifferenceFound


@click.group()
def ledger() -> None:
    """Prove and mend the ledger."""


@ledger.command("verify")
@as_json_option
def ledger_verify(*, as_json: bool) -> None:
    """Check chains, versions, folds, snapshots and index of every lane; exit 4 when something is wrong."""
    from ingestor.bootstrap import open_journal  # noqa: PLC0415 - Google's clients cost a second
    from state.verify import verify_pipeline  # noqa: PLC0415 - likewise

    config = load()
    journal = open_journal(config)
    try:
        lanes = journal.read_lanes()
        differences = verify_pipeline(journal, config.pipeline_id, retention_days=config.ledger_retention_days)
    finally:
        journal.close()
    if as_json:
        click.echo(json.dumps({"lanes": list(lanes), "differences": differences}))
    elif not differences:
        click.echo(f"{len(lanes)} lane(s): whole")
    if differences:
        raise DifferenceFound("\n".join(differences))
