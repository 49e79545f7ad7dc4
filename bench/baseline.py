"""Other ways to do the same job, each as a process of its own, so that every ratio has both its sides in one run.

    python -m bench.baseline WAY URL SINK

`URL` is the first page's, `SINK` the host:port of a Storage Write server. Prints one JSON object:
`{"rows", "seconds", "cpu_s"}`, seconds from the first request to the last answer, without start and imports.

- `sample`: as Google's samples do it, in the plainest way. A page at a time: `requests.get` and `.json()`, `ParseDict`
  per record, a new client and `AppendRowsStream`, one request, `.send().result()`. No hashing, ledger or checkpoint.
- `stream`: free of that client's polling: one stream by `append_rows`, 8 requests in flight, `json.loads`,
  `ParseDict`.
- `peer`: the package arcane-bigquery-storage, its `create_row` and `write_rows` a page. It runs in an environment of
  its own (`requirements/peers.txt`), so this module imports nothing of the project but the compiled flights.
- `follower`: follows the cursors and does nothing else: what the source allows at all.
- `parts`: decodes, encodes and digests with this project's own code, pages fetched before and the collector as calm as
  a run's: what a run cannot do without. `seconds` and `cpu_s` are of that alone.
"""

import json
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import grpc
import requests
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.json_format import ParseDict
from ingestor_protos.flights_pb2 import Flight

TABLE = "projects/bench-project/datasets/bench/tables/baseline"
STREAM = f"{TABLE}/streams/_default"
IN_FLIGHT = 8
TIMEOUT_S = 60
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
Page = list[dict[str, Any]]


def pages(url: str) -> Iterator[Page]:
    """Yield the records of every page, as `requests.get` and `.json()` bring them."""
    cursor: str | None = ""
    while cursor is not None:
        body = requests.get(url, params={"cursor": cursor} if cursor else {}, timeout=TIMEOUT_S).json()
        yield body["flights"]
        cursor = body["next_cursor"]


def converted(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record as `ParseDict` takes it: TIMESTAMP goes as microseconds."""
    record["time_hour"] = int(datetime.fromisoformat(record["time_hour"]).timestamp() * 1_000_000)
    return record


def row(record: dict[str, Any]) -> bytes:
    """Return the serialized row."""
    data: bytes = ParseDict(converted(record), Flight(), ignore_unknown_fields=True).SerializeToString()
    return data


def transport(sink: str) -> Any:  # noqa: ANN401 - what it takes is not what its stubs say
    """Return a transport to the sink."""
    return BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(sink, options=UNLIMITED))


def descriptor() -> DescriptorProto:
    """Return the rows' descriptor."""
    found = DescriptorProto()
    Flight.DESCRIPTOR.CopyToProto(found)
    return found


def template() -> types.AppendRowsRequest:
    """Return the first request's stream and schema."""
    schema = types.ProtoSchema(proto_descriptor=descriptor())
    return types.AppendRowsRequest(
        write_stream=STREAM, proto_rows=types.AppendRowsRequest.ProtoData(writer_schema=schema)
    )


def sample(url: str, sink: str) -> int:
    """Write each page as Google's samples do."""
    rows = 0
    for records in pages(url):
        serialized = [row(record) for record in records]
        client = BigQueryWriteClient(transport=transport(sink))  # type: ignore[no-untyped-call]
        stream = writer.AppendRowsStream(client, template())
        request = types.AppendRowsRequest()
        data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=serialized))
        request.proto_rows = data
        stream.send(request).result()  # type: ignore[no-untyped-call]
        stream.close()
        client.transport.close()  # type: ignore[no-untyped-call]
        rows += len(serialized)
    return rows


def stream(url: str, sink: str) -> int:
    """Write every page on one stream, up to 8 requests unanswered."""
    outgoing: queue.Queue[types.AppendRowsRequest | None] = queue.Queue()
    window, rows = threading.Semaphore(IN_FLIGHT), 0

    def receive() -> None:
        call = transport(sink).append_rows(
            iter(outgoing.get, None), metadata=(("x-goog-request-params", f"write_stream={STREAM}"),)
        )
        for _ in call:
            window.release()

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    session, cursor = requests.Session(), ""
    request = template()
    while cursor is not None:
        body = json.loads(session.get(url, params={"cursor": cursor} if cursor else {}, timeout=TIMEOUT_S).content)
        raw = types.AppendRowsRequest.pb(request)
        raw.proto_rows.rows.serialized_rows.extend(row(record) for record in body["flights"])
        rows, cursor = rows + len(body["flights"]), body["next_cursor"]
        window.acquire()
        outgoing.put(request)
        request = types.AppendRowsRequest(write_stream=STREAM)
    outgoing.put(None)
    receiver.join()
    return rows


def peer(url: str, sink: str) -> int:
    """Write each page with the peer's client; only its transport is ours, because it knows no emulator."""
    from arcane.bigquery_storage import Client  # type: ignore[import-not-found]  # noqa: PLC0415 - in its environment only

    class Local(Client):  # type: ignore[misc]
        def __init__(self) -> None:
            BigQueryWriteClient.__init__(self, transport=transport(sink))  # type: ignore[no-untyped-call]

    rows = 0
    for records in pages(url):
        client = Local()
        serialized = [Client.create_row(Flight, converted(record)) for record in records]
        client.write_rows(STREAM, Client.create_proto_descriptor(Flight), serialized)
        client.transport.close()
        rows += len(serialized)
    return rows


def follower(url: str, _: str) -> int:
    """Follow the cursors."""
    session, rows, cursor = requests.Session(), 0, ""
    while cursor is not None:
        body = session.get(url, params={"cursor": cursor} if cursor else {}, timeout=TIMEOUT_S).content
        tail = body[body.rindex(b'"next_cursor":') + len(b'"next_cursor":') : -1]
        cursor = json.loads(tail)
        rows += body.count(b'"year":')
    return rows


def measured(way: Callable[[str, str], int], url: str, sink: str) -> dict[str, float]:
    """Return rows, seconds and CPU seconds (all threads, user and system) of one way."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    rows = way(url, sink)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rows": rows, "seconds": seconds, "cpu_s": cpu_s}


def parts(url: str) -> dict[str, float]:
    """Return rows and CPU seconds of decoding, encoding and digesting alone."""
    from ingestor.batch import row_digest  # noqa: PLC0415 - the peer's environment has none of these
    from ingestor.decode import decode, records_at  # noqa: PLC0415
    from ingestor.encode import Rejection  # noqa: PLC0415
    from ingestor.encode_fast import FastEncoder  # noqa: PLC0415
    from ingestor.lean import calm_collector  # noqa: PLC0415
    from ingestor.messages import message_class  # noqa: PLC0415

    encode = FastEncoder(message_class("flights.Flight")).encode
    bodies, cursor = list[bytes](), ""
    while cursor is not None:
        bodies.append(requests.get(url, params={"cursor": cursor} if cursor else {}, timeout=TIMEOUT_S).content)
        cursor = decode(bodies[-1])["next_cursor"]
    calm_collector()
    rows, began, cpu = 0, time.monotonic(), time.process_time()
    for body in bodies:
        for record in records_at(decode(body), "flights"):
            data = encode(record)
            if isinstance(data, Rejection):
                raise TypeError(data.reason)
            row_digest(data)
            rows += 1
    return {"rows": rows, "seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}


WAYS = {"sample": sample, "stream": stream, "peer": peer, "follower": follower}

if __name__ == "__main__":
    name, first_url, sink_host = sys.argv[1:]
    print(json.dumps(parts(first_url) if name == "parts" else measured(WAYS[name], first_url, sink_host)))
