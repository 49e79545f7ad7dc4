"""What a run would miss, in words: table, view and ledger table, bucket, ledger, message. Reads only, keeps nothing."""

from collections.abc import Callable, Iterator

from ingestor.config import Config
from ingestor.ddl import OPERATORS_LANE
from ingestor.errors import IngestorError
from ingestor.messages import descriptor_of, message_class
from state.errors import LedgerError
from state.journal import Journal


def missing(config: Config, open_journal: Callable[[], Journal]) -> list[str]:
    """Return a line for each thing that is missing or does not answer; empty when a run could begin."""
    probes = (
        lambda: _table(config),
        lambda: _bucket(config),
        lambda: open_journal().read_snapshot(OPERATORS_LANE),
    )
    return [line for probe in probes for line in _heard(probe)]


def _heard(probe: Callable[[], object]) -> Iterator[str]:
    try:
        probe()
    except (IngestorError, LedgerError) as error:
        yield from str(error).splitlines()


def _table(config: Config) -> None:
    from ingestor.bootstrap import open_tables  # noqa: PLC0415 - Google's clients are loaded by those who use them
    from ingestor.schema import preflight  # noqa: PLC0415 - likewise

    message = descriptor_of(message_class(config.message_type))
    with open_tables(config) as tables:
        preflight(tables, config.bq_table_id, message, dedup_key=config.dedup_key)


def _bucket(config: Config) -> None:
    from ingestor.bucket import storage_client  # noqa: PLC0415 - likewise
    from ingestor.rejected_records import RejectedRecords  # noqa: PLC0415 - likewise

    client = storage_client(config.gcp_project_id, config.storage_emulator_host)
    try:
        RejectedRecords(client, config.dead_letter_bucket, config.pipeline_id, OPERATORS_LANE, "").check()
    finally:
        client.close()
