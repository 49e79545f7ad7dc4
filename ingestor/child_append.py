"""What the process beside a run is asked to do where rows are sent."""

import queue
from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.append import Answer, Connection, Ended, write_client
from ingestor.outcome import Outcome, silent


def append(  # noqa: PLR0913, PLR0917 - what a call needs
    host: str | None, stream: str, schema: bytes, trace_id: str, timeout_s: float, rows: Sequence[bytes]
) -> Outcome:
    """Append rows in one request and return its outcome."""
    answers: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()
    writer_schema = DescriptorProto.FromString(schema)
    connection = Connection(_client(host), stream, writer_schema, answers.put, trace_id=trace_id)
    try:
        connection.send("rows", rows)
        return answers.get(timeout=timeout_s).outcome
    except queue.Empty:
        connection.cancel()
        return silent(timeout_s)
    finally:
        connection.close()


_client = lru_cache(maxsize=1)(write_client)
