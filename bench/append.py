"""The append path alone: rows that are ready, with metadata and digests, go to the sink at no latency.

- ours: `ingestor.append.Connection`, eight requests in flight, a new one as each is answered;
- one at a time: the client library's `AppendRowsStream`, `.send().result()` for each request;
- floor: the same requests built beforehand, pushed through the transport's `append_rows` without waiting.
"""

import queue
import time
from collections.abc import Callable
from statistics import median

from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.protobuf.descriptor_pb2 import DescriptorProto

from bench.baseline import STREAM, template, transport
from bench.results import Bar, Result
from bench.world import World
from ingestor.append import Answer, Connection, Ended, write_client

NAME = "append"
NEEDS_FIRESTORE = False
ROW = bytes(range(150))
"""About a flight with its metadata."""
REQUEST_ROWS = 5_000
ROWS = 200 * REQUEST_ROWS
ONE_AT_A_TIME = 6
"""Requests of the slow way: its rate does not depend on their number."""
IN_FLIGHT = 8
ROUNDS = 5
OF_ONE_AT_A_TIME, OF_FLOOR = 30.0, 0.5


def measure(world: World, rows: int = ROWS) -> Result:
    """Measure the three ways by turns."""
    batch = [ROW] * REQUEST_ROWS
    requests = rows // REQUEST_ROWS
    ways: dict[str, tuple[Callable[[str, list[bytes], int], None], int]] = {
        "ours": (ours, requests),
        "one at a time": (one_at_a_time, ONE_AT_A_TIME),
        "floor": (floor, requests),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (way, count) in ways.items():
            began = time.monotonic()
            way(world.sink_host, batch, count)
            rates[name].append(count * REQUEST_ROWS / (time.monotonic() - began))
    middle = {name: median(found) for name, found in rates.items()}
    ratio, of_floor = middle["ours"] / middle["one at a time"], middle["ours"] / middle["floor"]
    return Result(
        NAME,
        "Appends of ready rows to a sink that acknowledges at once",
        {"rows a request": REQUEST_ROWS, "bytes a row": len(ROW), "in flight": IN_FLIGHT, "rounds": ROUNDS},
        [{"way": name, "rows/s": round(rate)} for name, rate in middle.items()],
        [
            Bar("times send().result() one at a time", OF_ONE_AT_A_TIME, round(ratio, 1), at_least=True),
            Bar("of the floor", OF_FLOOR, round(of_floor, 2), at_least=True),
        ],
        {"ratio": round(ratio, 1), "of_floor": round(of_floor, 2)},
    )


def ours(host: str, batch: list[bytes], requests: int) -> None:
    """Send with the run's own connection."""
    client = write_client(host)
    heard: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()
    connection = Connection(client, STREAM, DescriptorProto(name="Flight"), heard.put, trace_id="bench")
    for number in range(requests + IN_FLIGHT):
        if number >= IN_FLIGHT:
            heard.get()
        if number < requests:
            connection.send(str(number), batch)
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]


def one_at_a_time(host: str, batch: list[bytes], requests: int) -> None:
    """Send as the client library's own samples do."""
    client = BigQueryWriteClient(transport=transport(host))  # type: ignore[no-untyped-call]
    stream = writer.AppendRowsStream(client, template())
    for _ in range(requests):
        data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=batch))
        stream.send(types.AppendRowsRequest(proto_rows=data)).result()  # type: ignore[no-untyped-call]
    stream.close()
    client.transport.close()  # type: ignore[no-untyped-call]


def floor(host: str, batch: list[bytes], requests: int) -> None:
    """Push requests that are ready."""
    first, rest = template(), types.AppendRowsRequest(write_stream=STREAM)
    for request in (first, rest):
        types.AppendRowsRequest.pb(request).proto_rows.rows.serialized_rows.extend(batch)
    ready = [first] + [rest] * (requests - 1)
    wire = transport(host)
    call = wire.append_rows(iter(ready), metadata=(("x-goog-request-params", f"write_stream={STREAM}"),))
    answered = sum(1 for _ in call)
    if answered != requests:
        raise RuntimeError(f"{answered} of {requests} answers")
    wire.close()
