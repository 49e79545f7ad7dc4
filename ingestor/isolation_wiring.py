"""The processes beside a run that isolates, and what goes through them."""

from collections.abc import Callable

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.append import Answer, Ended
from ingestor.batch import Encode
from ingestor.child import Child
from ingestor.config import Config
from ingestor.isolated_append import IsolatedConnection
from ingestor.isolating import part_of
from ingestor.isolation import Isolation
from ingestor.pages import JsonValue, Source
from ingestor.ports import Isolated, Log
from state.fold import STALLED_RUNS

Read = Callable[[bytes], JsonValue]


def isolated(  # noqa: PLR0913 - what a run has and these need
    config: Config,
    deaths: int,
    encode: Encode,
    *,
    open_source: Callable[[Read], Source],
    stream: str,
    schema: DescriptorProto,
    trace_id: str,
    log: Log,
) -> Isolated:
    """Return what takes the place of a run's own after `deaths` runs in a row that ended without a word.

    When even one that isolated ended, records are tried by parts from the start, and with half of the free memory.
    """
    reader, sender = Child(is_bounded=deaths > STALLED_RUNS), Child()
    rows = part_of(config.batch_max_rows, deaths)
    isolation = Isolation(
        reader,
        config.message_type,
        config.source_records_path,
        encode,
        log,
        part=rows,
        whole_first=deaths == STALLED_RUNS,
    )
    to_append = (
        config.bigquery_storage_emulator_host,
        stream,
        schema.SerializeToString(),
        trace_id,
        float(config.append_timeout_s),
    )

    def connect(emit: Callable[[Answer | Ended], None]) -> IsolatedConnection:
        return IsolatedConnection(sender, to_append, emit)

    def close() -> None:
        reader.close()
        sender.close()

    return Isolated(
        source=open_source(isolation.decode),
        open_connection=connect,
        encode=isolation.encode,
        rows=rows,
        isolate_next=isolation.found_undecodable,
        close=close,
    )
