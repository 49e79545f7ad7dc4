"""Rows of a message appended through the client, as a run does it."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from ingestor.append import Answer, Connection, Ended, default_stream, write_client
from ingestor.descriptor import writer_schema
from ingestor.encode import Encoder
from ingestor.outcome import Action


class Appending:
    """A connection to one table, for records of one message."""

    def __init__(self, client: Any, table: str, message: Descriptor) -> None:
        self._encoder = Encoder(GetMessageClass(message))
        self._answers: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()
        stream = default_stream(*table.split("."))
        self.connection = Connection(client, stream, writer_schema(message), self._answers.put, trace_id="t")

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Encode the records and append their rows; fails the test when any is rejected or refused."""
        rows = [self._encoder.encode(record) for record in records]
        self.connection.send("k", [row for row in rows if isinstance(row, bytes)])
        assert [row for row in rows if not isinstance(row, bytes)] == []
        answer = self._answers.get(timeout=30)
        assert answer.outcome.action is Action.APPENDED, answer


@contextmanager
def appending(host: str, table: str, message: Descriptor) -> Iterator[Appending]:
    """Open a connection to `project.dataset.table` on `host`, and close it whatever happens."""
    client = write_client(host)
    opened = Appending(client, table, message)
    try:
        yield opened
    finally:
        opened.connection.close()
        client.transport.close()  # type: ignore[no-untyped-call]
