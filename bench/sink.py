"""A Storage Write server that only acknowledges, so that what is measured is the ingestor.

    python -m bench.sink PORT

Each request of an AppendRows call is answered in order, `latency_ms` after it came, however many are under way, as the
service does; rows are counted and dropped. Counters, per table: `TABLE.requests`, `TABLE.rows`, `TABLE.bytes` (of the
serialized rows), `TABLE.in_flight`, the most requests that were waiting for their answers at once, and
`TABLE.first_at_ms` and `TABLE.last_at_ms`, when the first and the last request came (milliseconds of the machine's
monotonic clock).
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse

from bench.wire import Counting, serving, wait_until
from ops.local.process import HOST, Service, accepts

APPEND_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
_REQUEST = AppendRowsRequest.pb()
_APPENDED: bytes = AppendRowsResponse.serialize(AppendRowsResponse(append_result={}))


@dataclass
class _Call:
    """One AppendRows call: when answers are due, and counts that one thread each writes."""

    due: "queue.SimpleQueue[float | None]" = field(default_factory=queue.SimpleQueue)
    received: int = 0
    answered: int = 0


class SinkServer(Counting):
    """Serves AppendRows. `wait_until` waits for a moment of `time.monotonic()`."""

    def __init__(self, wait_until: Callable[[float], None] = wait_until) -> None:
        super().__init__()
        self._wait_until = wait_until

    def serve(self, method: str) -> Any:  # noqa: ANN401 - grpc has no types
        """Return what serves the method."""
        return grpc.stream_stream_rpc_method_handler(self._append_rows) if method == APPEND_ROWS else None

    def _append_rows(self, requests: Iterator[bytes], _: object) -> Iterator[bytes]:
        call = _Call()
        threading.Thread(target=self._receive, args=(requests, call), daemon=True).start()
        while (at := call.due.get()) is not None:
            self._wait_until(at)
            call.answered += 1
            yield _APPENDED

    def _receive(self, requests: Iterator[bytes], call: "_Call") -> None:
        table = ""
        try:
            with contextlib.suppress(grpc.RpcError):  # the client is gone
                for data in requests:
                    call.received += 1
                    waiting = call.received - call.answered
                    call.due.put(time.monotonic() + self.latency_s)
                    table = self._count(data, table, waiting)
        finally:
            call.due.put(None)

    def _count(self, data: bytes, table: str, waiting: int) -> str:
        """Count a request; only the first of a call must name its table."""
        request = _REQUEST.FromString(data)
        table = request.write_stream.split("/")[5] if request.write_stream else table
        rows = request.proto_rows.rows.serialized_rows
        self.at_first(f"{table}.first_at_ms", round(time.monotonic() * 1000))
        self.add(**{f"{table}.requests": 1, f"{table}.rows": len(rows), f"{table}.bytes": sum(map(len, rows))})
        self.at_least(f"{table}.last_at_ms", round(time.monotonic() * 1000))
        self.at_least(f"{table}.in_flight", waiting)
        return table


class Sink(Service):
    """The sink as a process."""

    name = "bench-sink"

    @property
    def host(self) -> str:
        """What BIGQUERY_STORAGE_EMULATOR_HOST wants."""
        return f"{HOST}:{self.ports[0]}"

    def command(self) -> list[str]:
        """Run this module."""
        return [sys.executable, "-m", "bench.sink", str(self.ports[0])]

    def ready(self) -> bool:
        """It accepts connections."""
        return accepts(self.ports[0])


if __name__ == "__main__":
    serving(SinkServer(), int(sys.argv[1])).wait_for_termination()
